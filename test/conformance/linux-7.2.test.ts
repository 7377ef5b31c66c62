// Does the model do what Linux 7.2 did, on every recording?
import { test } from "vitest";
import { expectConformance } from "./expectations.ts";
import { replayAll } from "./replay-all.ts";

test("7.2, one processor", { timeout: 300_000 }, async () => {
  await expectConformance("7.2", replayAll("7.2"));
});
