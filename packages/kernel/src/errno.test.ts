// Do our numbers equal the platform's, and do names survive the round trip?
import { constants } from "node:os";
import { expect, test } from "vitest";
import { EAGAIN, EFAULT, EIOCBQUEUED, ERRNO, EWOULDBLOCK, err, errnoName, isErr } from "./index.ts";

test.runIf(process.platform === "linux")("every errno that Node knows has the platform's number", () => {
  for (const [name, value] of Object.entries(constants.errno)) expect([name, ERRNO[name]]).toEqual([name, value]);
});

test("errors are negative, named, and aliases print their first name", () => {
  expect(err(EFAULT)).toBe(-14);
  expect([isErr(err(EFAULT)), isErr(0), isErr(4096)]).toEqual([true, false, false]);
  expect([errnoName(-14), errnoName(EWOULDBLOCK), errnoName(EIOCBQUEUED), errnoName(4711)]).toEqual([
    "EFAULT",
    "EAGAIN",
    "EIOCBQUEUED",
    "E4711",
  ]);
  expect(EWOULDBLOCK).toBe(EAGAIN);
});
