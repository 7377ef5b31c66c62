// The bytes that scenarios write and the sum that results show: both are part of the format.

/** The byte at `offset` of a file or fill with this seed. */
export function patternByte(seed: number, offset: number): number {
  const part = (shift: number, factor: number): number => (Math.floor(offset / 2 ** shift) % 256) * factor;
  return (seed * 131 + (offset % 256) * 7 + part(8, 13) + part(12, 29) + part(16, 59) + part(20, 101)) & 255;
}

/** Two rounds of what the low byte of the offset adds: 256 bytes of it begin with any value, at RAMP_STEP times that value. */
const RAMP: Uint8Array = Uint8Array.from({ length: 512 }, (_, i) => i * 7);
/** 7 * 183 is 1 modulo 256. */
const RAMP_STEP = 183;

/** Write the pattern from `offset` on into bytes. */
export function fillPattern(target: Uint8Array, seed: number, offset: number): void {
  // Within 256 bytes only the low byte of the offset changes, and each step adds 7.
  for (let done = 0; done < target.length; ) {
    const start = (patternByte(seed, offset + done) * RAMP_STEP) % 256;
    const end = Math.min(target.length, done + 256 - ((offset + done) % 256));
    target.set(RAMP.subarray(start, start + end - done), done);
    done = end;
  }
}

/** FNV-1a, 32 bit, over bytes that come in pieces. */
export class Fnv1a {
  #hash = 2166136261;

  add(bytes: Uint8Array): void {
    let hash = this.#hash;
    // By index: a third of the time that an iterator takes.
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 16777619);
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
