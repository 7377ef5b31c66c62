// Two lists side by side, so that what they have in common stands in one line: the longest common subsequence.

export interface Pair {
  readonly left: string | null;
  readonly right: string | null;
}

/** Lists longer than this are put side by side as they come: the table would be too large. */
const LONGEST = 3000;

export function align(left: readonly string[], right: readonly string[]): Pair[] {
  if (left.length > LONGEST || right.length > LONGEST) {
    return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => ({
      left: left[i] ?? null,
      right: right[i] ?? null,
    }));
  }
  const width = right.length + 1;
  const common = commonLengths(left, right, width);
  const pairs: Pair[] = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) pairs.push({ left: left[i++], right: right[j++] });
    else if (j >= right.length || (i < left.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      pairs.push({ left: left[i++], right: null });
    } else pairs.push({ left: null, right: right[j++] });
  }
  return pairs;
}

/** At [i, j]: the length of what the lists have in common from there on. */
function commonLengths(left: readonly string[], right: readonly string[], width: number): Uint16Array {
  const lengths = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      const [down, across] = [lengths[(i + 1) * width + j], lengths[i * width + j + 1]];
      lengths[i * width + j] = left[i] === right[j] ? lengths[(i + 1) * width + j + 1] + 1 : Math.max(down, across);
    }
  }
  return lengths;
}
