// The bytes that scenarios write and the sum that results show: both are part of the format.

/** The byte at `offset` of a file or fill with this seed. */
export function patternByte(seed: number, offset: number): number {
  const part = (shift: number, factor: number): number => (Math.floor(offset / 2 ** shift) % 256) * factor;
  return (seed * 131 + (offset % 256) * 7 + part(8, 13) + part(12, 29) + part(16, 59) + part(20, 101)) & 255;
}

/** Write the pattern from `offset` on into bytes. */
export function fillPattern(target: Uint8Array, seed: number, offset: number): void {
  // Within 256 bytes only the low byte of the offset changes, and each step adds 7.
  for (let done = 0; done < target.length; ) {
    const first = patternByte(seed, offset + done);
    const end = Math.min(target.length, done + 256 - ((offset + done) % 256));
    for (let i = done; i < end; i++) target[i] = first + (i - done) * 7;
    done = end;
  }
}

/** FNV-1a, 32 bit, over bytes that come in pieces. */
export class Fnv1a {
  #hash = 2166136261;

  add(bytes: Uint8Array): void {
    let hash = this.#hash;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 16777619);
    this.#hash = hash;
  }

  /** Eight hex digits. */
  get hex(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }
}

/** Run-length text: "F*8,.*1" for eight F and a point. */
export function runLengths(text: string): string {
  const runs: string[] = [];
  for (let i = 0; i < text.length; ) {
    let end = i + 1;
    while (end < text.length && text[end] === text[i]) end++;
    runs.push(`${text[i]}*${end - i}`);
    i = end;
  }
  return runs.join(",");
}
