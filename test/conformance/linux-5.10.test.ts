// Does the model do what Linux 5.10 did, on every recording?
import { test } from "vitest";
import { expectConformance } from "./expectations.ts";
import { replayAll } from "./replay-all.ts";

test("5.10, one processor", { timeout: 300_000 }, async () => {
  await expectConformance("5.10", replayAll("5.10"));
});
