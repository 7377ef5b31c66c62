// Does the model do what Linux 6.12 did, on every recording?
import { test } from "vitest";
import { expectConformance } from "./expectations.ts";
import { replayAll } from "./replay-all.ts";

test("6.12, one processor", { timeout: 300_000 }, async () => {
  await expectConformance("6.12", replayAll("6.12"));
});
