// The reference: what Linux promises about memory, as slow and plain as possible. A space is a map from page
// numbers to page states; nothing is shared but objects, nothing is faulted in, nothing is cached.
//
// Bytes are known at four offsets of each page only; -1 is a byte that the reference does not know.

import { PAGE_SIZE } from "@faultline/kernel";
import { MMAP_BASE, PROT_NONE, PROT_WRITE } from "../index.ts";

/** The offsets at which the reference knows bytes. */
export const PROBES: readonly number[] = [0, 1, 2047, 4095];
export type Content = number[];

/** What an area can show: a file, or shared anonymous memory. */
export class ModelObject {
  size: number;
  /** The object was never shorter than this: bytes beyond are zero. */
  #shortest: number;
  readonly #pattern: (position: number) => number;
  readonly #pages = new Map<number, Content>();

  constructor(size: number, pattern: (position: number) => number) {
    this.size = size;
    this.#shortest = size;
    this.#pattern = pattern;
  }

  get pages(): number {
    return Math.ceil(this.size / PAGE_SIZE);
  }

  page(index: number): Content {
    let content = this.#pages.get(index);
    if (content === undefined) {
      content = PROBES.map((offset) => {
        const position = index * PAGE_SIZE + offset;
        return position < this.#shortest ? this.#pattern(position) : 0;
      });
      this.#pages.set(index, content);
    }
    return content.map((byte, i) => (index * PAGE_SIZE + PROBES[i] < this.size ? byte : -1));
  }

  write(index: number, probe: number, value: number): void {
    this.page(index);
    (this.#pages.get(index) as Content)[probe] = value;
  }

  truncate(size: number): void {
    for (const [index, content] of this.#pages) {
      PROBES.forEach((offset, i) => {
        if (index * PAGE_SIZE + offset >= Math.min(size, this.size)) content[i] = 0;
      });
    }
    this.#shortest = Math.min(this.#shortest, size);
    this.size = size;
  }
}

export interface ModelPage {
  /** The call that mapped it: pages of one call that nobody changed are one area for sure. */
  area: number;
  prot: number;
  readonly shared: boolean;
  readonly mayWrite: boolean;
  readonly object: ModelObject | null;
  /** Page of the object. */
  readonly index: number;
  /** What the page holds if it is private and was written to. */
  own: Content | null;
}

export type Outcome = "ok" | "SIGSEGV" | "SIGBUS";

export class ModelSpace {
  readonly pages: Map<number, ModelPage> = new Map();

  clone(): ModelSpace {
    const copy = new ModelSpace();
    for (const [vpn, page] of this.pages) copy.pages.set(vpn, { ...page, own: page.own && [...page.own] });
    return copy;
  }

  /** May the page be accessed? A store makes a private page our own. */
  access(vpn: number, write: boolean): Outcome {
    const page = this.pages.get(vpn);
    if (page === undefined || (write ? (page.prot & PROT_WRITE) === 0 : page.prot === PROT_NONE)) return "SIGSEGV";
    if (page.own !== null) return "ok";
    if (page.object !== null && page.index >= page.object.pages) return "SIGBUS";
    if (write && !page.shared) page.own = this.content(vpn);
    return "ok";
  }

  content(vpn: number): Content {
    const page = this.pages.get(vpn) as ModelPage;
    if (page.own !== null) return [...page.own];
    return page.object === null ? PROBES.map(() => 0) : page.object.page(page.index);
  }

  put(vpn: number, probe: number, value: number): void {
    const page = this.pages.get(vpn) as ModelPage;
    if (page.own !== null) page.own[probe] = value;
    else page.object?.write(page.index, probe, value);
  }

  /** Bytes of [address, address + size) that can be accessed before the first that cannot, and why it cannot. */
  reach(address: number, size: number, write: boolean): { done: number; outcome: Outcome } {
    for (let at = address; at < address + size; at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE) {
      const outcome = this.access(Math.floor(at / PAGE_SIZE), write);
      if (outcome !== "ok") return { done: at - address, outcome };
    }
    return { done: size, outcome: "ok" };
  }

  /** Store `valueAt` of each address, as far as it goes. */
  store(address: number, size: number, valueAt: (address: number) => number): { done: number; outcome: Outcome } {
    const reached = this.reach(address, size, true);
    for (const [vpn, probe, at] of probesOf(address, reached.done)) this.put(vpn, probe, valueAt(at));
    return reached;
  }

  isFree(vpn: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.pages.has(vpn + i)) return false;
    return true;
  }

  /** The highest free place below MMAP_BASE. */
  place(count: number): number {
    let end = MMAP_BASE / PAGE_SIZE;
    for (const vpn of [...this.pages.keys()].filter((page) => page < MMAP_BASE / PAGE_SIZE).sort((a, b) => b - a)) {
      if (end - (vpn + 1) >= count) break;
      end = vpn;
    }
    return end - count;
  }

  /** Are the pages one area: for sure, for sure not, or does it depend on history? */
  oneArea(vpn: number, count: number): "yes" | "no" | "maybe" {
    const first = this.pages.get(vpn);
    let verdict: "yes" | "maybe" = "yes";
    for (let i = 0; i < count; i++) {
      const page = this.pages.get(vpn + i);
      if (first === undefined || page === undefined) return "no";
      if (page.prot !== first.prot || page.shared !== first.shared || page.mayWrite !== first.mayWrite) return "no";
      if (page.object !== first.object) return "no";
      if (page.object !== null && page.index !== first.index + i) return "no";
      if (page.area !== first.area || page.index !== first.index + i) verdict = "maybe";
    }
    return verdict;
  }
}

/** The places within a range at which bytes are known: page, index of the offset, address. */
export function* probesOf(address: number, size: number): Generator<[number, number, number]> {
  for (let vpn = Math.floor(address / PAGE_SIZE); vpn * PAGE_SIZE < address + size; vpn++) {
    for (const [probe, offset] of PROBES.entries()) {
      const at = vpn * PAGE_SIZE + offset;
      if (at >= address && at < address + size) yield [vpn, probe, at];
    }
  }
}
