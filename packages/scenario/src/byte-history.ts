// What the pages of the scenario's files have held during a run, and which step has written it or copied it from where.

import { PAGE_SIZE, type Pfn, wholeOf } from "@faultline/kernel";
import { type PhysMem, pageAddress } from "@faultline/mm";

/** A page of a file. */
export type PageName = `${string} ${number}`;

/** The file's pages that are cached. */
export interface CachedFile {
  readonly name: string;
  readonly pages: number;
  find(page: number): Pfn;
}

/** What a step left in a page. */
export interface Version {
  readonly step: number;
  readonly bytes: Uint8Array;
  /** The page whose bytes these were. */
  readonly source: PageName | null;
}

export class ByteHistory {
  readonly #mem: PhysMem;
  readonly #files: () => readonly CachedFile[];
  readonly #bytesObject: number;
  /** By part of the memory's bytes, as steps name it; null for what belongs to no file. */
  readonly #pages = new Map<number, { readonly name: PageName; readonly frame: Pfn } | null>();
  readonly #versions = new Map<PageName, Version[]>();

  constructor(mem: PhysMem, files: () => readonly CachedFile[]) {
    this.#mem = mem;
    this.#files = files;
    this.#bytesObject = wholeOf(mem.bytesId(0 as Pfn))?.object ?? 0;
  }

  /** What a page has held, the oldest first. */
  versionsOf(page: PageName): readonly Version[] {
    return this.#versions.get(page) ?? [];
  }

  /** A step has read and written these objects. */
  stepEnded(step: number, reads: readonly number[], writes: readonly number[]): void {
    for (const written of writes) {
      const target = this.#pageOf(written);
      if (target === null) continue;
      const bytes = this.#bytes(target.frame);
      const source = reads
        .map((read) => this.#pageOf(read))
        .find((page) => page !== null && this.#holds(page.frame, bytes));
      const versions = this.#versions.get(target.name) ?? [];
      versions.push({ step, bytes: bytes.slice(), source: source?.name ?? null });
      this.#versions.set(target.name, versions);
    }
  }

  #holds(frame: Pfn, bytes: Uint8Array): boolean {
    return isSame(this.#bytes(frame), bytes);
  }

  #bytes(frame: Pfn): Uint8Array {
    return this.#mem.u8.subarray(pageAddress(frame), pageAddress(frame) + PAGE_SIZE);
  }

  #pageOf(object: number): { readonly name: PageName; readonly frame: Pfn } | null {
    if (wholeOf(object)?.object !== this.#bytesObject) return null;
    const known = this.#pages.get(object);
    if (known !== undefined) return known;
    this.#pages.set(object, null);
    for (const { name, pages, find } of this.#files()) {
      for (let page = 0; page < pages; page++) {
        const frame = find(page);
        if (frame !== 0) this.#pages.set(this.#mem.bytesId(frame), { name: `${name} ${page}`, frame });
      }
    }
    return this.#pages.get(object) ?? null;
  }
}

export function isSame(these: Uint8Array, those: Uint8Array): boolean {
  for (let i = 0; i < these.length; i++) if (these[i] !== those[i]) return false;
  return these.length === those.length;
}
