// Do the channels for people say something when they are asked to, and nothing when they are not?
import createDebug from "debug";
import { afterEach, expect, test } from "vitest";
import { Rig } from "./testing/cluster-rig.ts";

const { log } = createDebug;
afterEach(() => {
  createDebug.log = log;
  createDebug.disable();
});

/** What is said while a lock moves, a node crashes and a disk fails. */
function said(namespaces: string): string[] {
  const lines: string[] = [];
  createDebug.log = (...args: unknown[]): void => void lines.push(args.map(String).join(" "));
  createDebug.enable(namespaces);
  const rig = new Rig({ nodes: 2 });
  const [n1, n2] = [rig.process("n1", 1), rig.process("n2", 2)];
  n1.does(n1.write(n1.does(n1.open("f")), "x", 0));
  rig.machine.crash(rig.machine.nodes[0]);
  n2.does(n2.read(n2.does(n2.open("f")), 1, 0));
  return lines;
}

test("off, they are silent", () => {
  expect(said("")).toEqual([]);
});

test("on, each has its own", () => {
  expect(said("faultline:fs:glock").some((line) => / glock f \w\w EX/.test(line))).toBe(true);
  const mount = said("faultline:fs:mount");
  expect(mount.filter((line) => /crashes|recovered/.test(line)).length).toBe(2);
});
