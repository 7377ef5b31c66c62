// A schedule: the decisions of one run, as a short string that a person can paste.
//
//   c            run tasks to their next sleep, first come first served ("cooperative")
//   p            every scheduling point is a decision ("preemptive")
//   i            the same, and whether time passes there is one more ("interrupts")
//   p3.0x12.1    decisions 3, then twelve times 0, then 1, then 0 for ever
//
// A decision is the index that pickTask or choose returned; it is recorded only where there was more than
// one possibility. Zeros at the end are left out: 0 is the default.

export interface Schedule {
  readonly preemptive: boolean;
  /** Absent when false. */
  readonly interrupts?: true;
  readonly decisions: readonly number[];
}

/** Write a schedule in its shortest form. */
export function formatSchedule(schedule: Schedule): string {
  const { decisions } = schedule;
  let end = decisions.length;
  while (end > 0 && decisions[end - 1] === 0) end--;
  const parts: string[] = [];
  for (let i = 0; i < end; ) {
    let run = 1;
    while (i + run < end && decisions[i + run] === decisions[i]) run++;
    parts.push(run === 1 ? String(decisions[i]) : `${decisions[i]}x${run}`);
    i += run;
  }
  const mode = schedule.interrupts === true ? "i" : schedule.preemptive ? "p" : "c";
  return mode + parts.join(".");
}

/** Decisions that one schedule string may hold; a longer one is an error, not an allocation. */
const MAX_DECISIONS = 10_000_000;

/**
 * Read a schedule.
 *
 * Throws: SyntaxError that names the part that is wrong and the form that would be right.
 */
export function parseSchedule(text: string): Schedule {
  const mode = text[0];
  if (mode !== "c" && mode !== "p" && mode !== "i") {
    throw new SyntaxError(`a schedule begins with "c", "p" or "i", as in "p3.0x12.1"; got "${text.slice(0, 40)}"`);
  }
  const decisions: number[] = [];
  const body = text.slice(1);
  for (const part of body === "" ? [] : body.split(".")) {
    const match = /^(\d{1,9})(?:x(\d{1,9}))?$/.exec(part);
    const count = Number(match?.[2] ?? 1);
    if (match === null || count === 0 || decisions.length + count > MAX_DECISIONS) {
      throw new SyntaxError(`"${part.slice(0, 40)}" is not a part of a schedule; write "3" or "0x12"`);
    }
    for (let i = 0; i < count; i++) decisions.push(Number(match[1]));
  }
  return mode === "i" ? { preemptive: true, interrupts: true, decisions } : { preemptive: mode === "p", decisions };
}
