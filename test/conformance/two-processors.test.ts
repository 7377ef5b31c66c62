// Threads on two processors: is there an order in which the model does what each kernel did?
import { test } from "vitest";
import { KERNELS } from "./corpus.ts";
import { expectConformance } from "./expectations.ts";
import { replayAll } from "./replay-all.ts";

test.each(KERNELS)("%s, two processors", { timeout: 300_000 }, async (kernel) => {
  await expectConformance(`${kernel}-smp2`, replayAll(`${kernel}-smp2`));
});
