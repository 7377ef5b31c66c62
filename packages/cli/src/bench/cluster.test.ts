// Does an operation on a file that a whole cluster uses take as many steps as among few? Steps do not depend on the
// machine that counts them.
import { expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

test("64 nodes and 1,000 tasks on one file finish, and an operation costs what it costs among few", () => {
  expect(new Cluster(64, 1000).run() / new Cluster(2, 100).run()).toBeLessThan(3);
  expect(new Cluster(1, 1000).run() / new Cluster(1, 10).run()).toBeLessThan(3);
});
