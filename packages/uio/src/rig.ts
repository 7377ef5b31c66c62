// A machine for tests: one task, user pages made to order, and frames that stand for the page cache.
//
// User pages are ordered by letters, one a page:
//
//   w   there and writable               z   the zero page is there: a store faults, and is resolved
//   .   mapped, not there yet: any access faults, and is resolved
//   r   there, but the area is read-only: a store fails for good
//   n   the area allows nothing          -   nothing is mapped
//   p   there and writable, but bytes from POISON on fail for good, whatever fault-in says
//
// What is there holds userByte(address).

import {
  errnoName,
  PAGE_SIZE,
  type Pfn,
  pageStart,
  RunError,
  Tracer,
  World,
  type WorldOptions,
} from "@faultline/kernel";
import {
  AddressSpace,
  type AddressSpaceOperations,
  doMmap,
  doMprotect,
  doMunmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MM_LATEST,
  type MmRevision,
  MmStruct,
  PhysMem,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  pageAddress,
  ptePfn,
  ptePresent,
  setPoison,
  UserTask,
  userLoad,
  userStore,
} from "@faultline/mm";

/** Where tests map their pages. */
export const BASE = 0x200000000000;
/** First byte of a page `p` that fails. */
export const POISON = 2048;

export interface Rig {
  readonly world: World;
  readonly mem: PhysMem;
  readonly task: UserTask;
  readonly trace: Tracer;
}

export interface RigOptions extends Omit<WorldOptions, "trace"> {
  readonly revision?: MmRevision;
  readonly traced?: boolean;
  readonly memory?: number;
}

export function makeRig(options: RigOptions = {}): Rig {
  const { revision = MM_LATEST, traced = false, memory = 256 << 10, ...worldOptions } = options;
  const trace = new Tracer(1 << 16);
  const world = new World({ ...worldOptions, trace: traced ? trace : null });
  const mem = new PhysMem(world, memory);
  const task = new UserTask(world, "test", new MmStruct(mem, revision));
  return { world, mem, task, trace };
}

type Steps<T> = Parameters<typeof World.prototype.runSync<T>>[1];

/** Run a generator to its end. */
export function run<T>(rig: Rig, steps: Steps<T>): T {
  try {
    return rig.world.runSync(rig.task, steps);
  } catch (error) {
    if (error instanceof RunError && error.verdict.kind === "bug") throw error.verdict.bug;
    throw error;
  }
}

/** Run a system call that succeeds. */
function must(rig: Rig, call: Steps<number>): void {
  const result = run(rig, call);
  if (result < 0) throw new Error(`a system call returned ${errnoName(result)}`);
}

/** What the byte at a user address holds at first. */
export function userByte(address: number): number {
  return (address + Math.floor(address / PAGE_SIZE) * 31 + 1) % 251;
}

function fillUserBytes(page: Uint8Array, address: number): void {
  const first = userByte(address);
  for (let k = 0; k < page.length; k++) page[k] = (first + k) % 251;
}

/** Map one page a letter from `address`, replacing what was there. */
export function mapPages(rig: Rig, letters: string, address: number = BASE): void {
  const { task, mem } = rig;
  const scratch = pageAddress(allocFrames(rig, 1));
  [...letters].forEach((letter, n) => {
    const page = address + n * PAGE_SIZE;
    must(rig, doMunmap(task, page, PAGE_SIZE));
    if (letter === "-") return;
    const flags = MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED;
    must(rig, doMmap(task, { address: page, length: PAGE_SIZE, prot: PROT_READ | PROT_WRITE, flags }));
    if (letter === "z") run(rig, userLoad(task, scratch, page, 1));
    if (letter === "w" || letter === "r" || letter === "p") {
      fillUserBytes(mem.u8.subarray(scratch, scratch + PAGE_SIZE), page);
      run(rig, userStore(task, page, scratch, PAGE_SIZE));
    }
    if (letter === "r") must(rig, doMprotect(task, page, PAGE_SIZE, PROT_READ));
    if (letter === "n") must(rig, doMprotect(task, page, PAGE_SIZE, PROT_NONE));
    if (letter === "p") setPoison(mem, physicalOf(rig, page) + POISON, PAGE_SIZE - POISON);
  });
}

/** Where a user page that is there lies in physical memory; 0 if it is not. */
export function physicalOf(rig: Rig, address: number): number {
  const entry = rig.task.mm.pgd.get(Math.floor(address / PAGE_SIZE));
  return ptePresent(entry) ? pageAddress(ptePfn(entry)) + (address % PAGE_SIZE) : 0;
}

/** User bytes as they are, without touching anything; those of pages that are not there read as 0. */
export function peek(rig: Rig, address: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const at = address + done;
    const n = Math.min(pageStart(at) + PAGE_SIZE - at, size - done);
    const physical = physicalOf(rig, at);
    if (physical !== 0) bytes.set(rig.mem.u8.subarray(physical, physical + n), done);
    done += n;
  }
  return bytes;
}

/** The index of the first byte that differs; -1 when none does. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let n = 0; n < a.length || n < b.length; n++) if (a[n] !== b[n]) return n;
  return -1;
}

/** Physically adjacent frames, filled with `fill`. Returns: the first. */
export function allocFrames(rig: Rig, count: number, fill = 0): Pfn {
  const first = rig.mem.tryAllocPage(false);
  let last = first;
  for (let n = 1; n < count; n++) {
    const frame = rig.mem.tryAllocPage(false);
    if (frame !== last + 1) throw new Error("frames are not adjacent: allocate them before freeing any");
    last = frame;
  }
  rig.mem.u8.fill(fill, pageAddress(first), pageAddress(last) + PAGE_SIZE);
  return first;
}

/** The page cache of a file that nobody writes back; it holds these pages from index 0 on. */
export function makeMapping(rig: Pick<Rig, "mem">, pages: readonly Pfn[] = []): AddressSpace {
  const ops: AddressSpaceOperations = {
    dirtyFolio: () => undefined,
    *balanceDirty() {},
    *writepage() {
      return true;
    },
  };
  const mapping = new AddressSpace(rig.mem, ops, {}, 1, "file");
  pages.forEach((page, index) => {
    mapping.pages.set(index, page);
  });
  return mapping;
}

/** A copy of physical memory. */
export function physicalBytes(rig: Rig, physical: number, size: number): Uint8Array {
  return rig.mem.u8.slice(physical, physical + size);
}

/** The events that the trace holds, as `name args`, and forget them. */
export function traced(rig: Rig): string[] {
  const lines = [...rig.trace.events()].map(({ name, args }) => {
    const values = Object.values(args) as number[];
    return [name, ...values.map((value) => (value >= BASE ? `+${value - BASE}` : `${value}`))].join(" ");
  });
  rig.trace.clear();
  return lines;
}
