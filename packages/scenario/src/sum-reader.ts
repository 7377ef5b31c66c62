// Which bytes a sum is of, when each page may have been one of a few: what one thread has written and what another one
// has copied meanwhile come in runs of pages, so there are not many ways to try.
//
// FNV-1a takes a byte in by the low byte of the sum, and what is above that is only multiplied. So what a page makes of a
// sum is known for all sums with the same low byte once it is known for one, and a way costs a few steps a page.

/** What a page may hold. */
export interface Candidate {
  readonly bytes: Uint8Array;
  /** Pages next to each other are mostly of one kind. */
  readonly kind: string;
}

/** So often may the kind change from one page to the next. */
const MOST_CHANGES = 3;
/** So many pages are looked at on all ways together: a sum of many kinds of bytes is not worth more. */
const MOST_PAGES = 2_000_000;
const FNV_START = 2166136261;
const FNV_PRIME = 16777619;

/** Returns: which candidate each page is, with the fewest changes of kind; null when no way has this sum. */
export function readSum(pages: readonly (readonly Candidate[])[], sum: string): number[] | null {
  const wanted = Number.parseInt(sum, 16) | 0;
  const effects = pages.map((candidates) => candidates.map(({ bytes }) => new PageEffect(bytes)));
  const chosen: number[] = [];
  let left = MOST_PAGES;
  const walk = (at: number, hash: number, kind: string, changes: number): boolean => {
    if (at === pages.length) return hash === wanted;
    if (left-- <= 0) return false;
    const candidates = pages[at];
    for (let i = 0; i < candidates.length; i++) {
      // What could be nothing else is of any kind.
      const next = candidates.length === 1 ? kind : candidates[i].kind;
      const more = changes - (kind !== "" && next !== kind ? 1 : 0);
      if (more < 0) continue;
      chosen[at] = i;
      if (walk(at + 1, effects[at][i].on(hash), next, more)) return true;
    }
    return false;
  };
  for (let changes = 0; changes <= MOST_CHANGES; changes++) if (walk(0, FNV_START | 0, "", changes)) return chosen;
  return null;
}

/** What the bytes of a page make of a sum. */
class PageEffect {
  readonly #bytes: Uint8Array;
  readonly #factor: number;
  readonly #known = new Map<number, number>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    let factor = 1;
    for (let i = 0; i < bytes.length; i++) factor = Math.imul(factor, FNV_PRIME);
    this.#factor = factor;
  }

  on(hash: number): number {
    const low = hash & 0xff;
    let effect = this.#known.get(low);
    if (effect === undefined) {
      effect = low;
      for (let i = 0; i < this.#bytes.length; i++) effect = Math.imul(effect ^ this.#bytes[i], FNV_PRIME);
      this.#known.set(low, effect);
    }
    return (effect + Math.imul(hash - low, this.#factor)) | 0;
  }
}
