// Would conformance notice? One rule is broken at a time, in a revision made for the purpose; recordings that are
// equal with the sound revision have to differ.
//
// What becomes of a copy that falls short within a page is not among them: gfs2 cuts each round to what was faulted in,
// so that one task alone never sees such a copy. The invariants' test of fs and the explorer break those rules.
import { type Gfs2Io, type Gfs2Revision, mutantsOf, O_APPEND, REVISIONS } from "@faultline/fs";
import { compareRecordings, type Recording, runScenario, type Scenario, scenarioMemory } from "@faultline/scenario";
import { describe, expect, test } from "vitest";
import { pairsOf, unseenOf } from "./corpus.ts";

const KERNEL = "6.12";
const sound = REVISIONS[KERNEL];
const unseen = unseenOf(KERNEL);
const hostMemory = scenarioMemory();

type Wrap = (io: Gfs2Io) => Gfs2Io;
/** The way to move bytes that is planted around another. */
const around = (before: (...call: Parameters<Gfs2Io>) => () => void): Wrap =>
  (io) =>
    function* (task, iocb, iter) {
      const after = before(task, iocb, iter);
      const ret = yield* io(task, iocb, iter);
      after();
      return ret;
    };
const buffered = (wrap: Wrap): Partial<Gfs2Revision> => ({
  bufferedRead: wrap(sound.bufferedRead),
  bufferedWrite: wrap(sound.bufferedWrite),
});
const iomap = (change: Partial<Gfs2Revision["iomap"]>): Partial<Gfs2Revision> => ({
  iomap: { ...sound.iomap, ...change },
});
const mm = (change: Partial<Gfs2Revision["mm"]>): Partial<Gfs2Revision> => ({ mm: { ...sound.mm, ...change } });
const readahead = (change: Partial<Gfs2Revision["readahead"]>): Partial<Gfs2Revision> => ({
  readahead: { ...sound.readahead, ...change },
});
const direct = (wrap: Wrap): Partial<Gfs2Revision> => ({
  directRead: wrap(sound.directRead),
  directWrite: wrap(sound.directWrite),
});
const mutant = (title: string): Partial<Gfs2Revision> => {
  const found = mutantsOf(sound).find((revision) => revision.title === title);
  if (found === undefined) throw new Error(`there is no mutant that ${title}`);
  return found;
};
const cure = (name: string): Partial<Gfs2Revision> => {
  const { bufferedRead, bufferedWrite, directRead, directWrite } = REVISIONS[name];
  return { bufferedRead, bufferedWrite, directRead, directWrite };
};

/** What is broken, and the theme in which it shows first. */
const PLANTED: readonly (readonly [desc: string, theme: string, change: Partial<Gfs2Revision>])[] = [
  [
    "the window is one page too big",
    "11-windows",
    buffered(
      around((task) => {
        task.nrDirtied--;
        return () => task.nrDirtied++;
      }),
    ),
  ],
  ["dirty pages are counted one too many", "11-windows", buffered(around((task) => () => task.nrDirtied++))],
  [
    "the position is not advanced",
    "01-write-resident",
    buffered(
      around((_task, iocb) => {
        const { pos } = iocb;
        return () => {
          iocb.pos = pos;
        };
      }),
    ),
  ],
  [
    "the end of the file is not looked at: a read goes on to the end of the page",
    "06-eof",
    {
      bufferedRead: around((_task, { file: { inode } }) => {
        const { size } = inode;
        inode.size = Math.ceil(size / 4096) * 4096;
        return () => {
          inode.size = size;
        };
      })(sound.bufferedRead),
    },
  ],
  [
    "what is left over is told one byte too small",
    "02-write-faults",
    buffered(
      (io) =>
        function* (task, iocb, iter) {
          const ret = yield* io(task, iocb, iter);
          return (ret > 0 && iter.count > 0 ? ret + 1 : ret) as typeof ret;
        },
    ),
  ],
  ["the lock is kept while the buffer is faulted in", "03-self", cure("cure:keep-glock")],
  ["only the first byte is faulted in", "02-write-faults", cure("cure:first-byte")],
  ["all of the buffer or nothing", "02-write-faults", cure("cure:all-or-nothing")],
  ["the buffer is faulted in beforehand, and then all must go well", "03-self", cure("cure:prefault-and-hope")],
  ["read-ahead goes half as far", "13-populate", readahead({ raPages: 16 })],
  ["the last read-ahead window gets no mark", "11-windows", readahead({ marksLastWindow: false })],
  ["the window that a mark starts ends at a multiple of four pages", "17-readahead", readahead({ markedEndsAt: 4 })],
  ["a mark goes on behind cached pages of a window's length", "17-readahead", readahead({ nextMissMayBeCached: true })],
  ["a stream is as long as a window", "17-readahead", readahead({ prevMissMayBeCached: false })],
  ["the dirty throttle is looked at after a page", "11-windows", iomap({ throttlesFirst: false })],
  ["direct reads stop at the end of the file", "08-direct", iomap({ dioStopsAtEof: true })],
  ["direct reads ask for alignment segment by segment", "vary-1", iomap({ dioAligns: "segment" })],
  ["direct reads let empty segments lie anywhere", "near-2", iomap({ dioAligns: "bytes" })],
  ["what faults in the source is all or nothing", "02-write-faults", iomap({ prefault: "pages" })],
  ["a copy that fails tries its last bytes again", "05-read-faults", mm({ copyTail: "always" })],
  ["zeroing behind the end makes the file longer", "rand-1", iomap({ zeroingExtends: true })],
  ["any progress of faulting in counts as complete", "05-read-faults", mm({ faultInSafeWriteable: "fixup-any" })],
  ["write faults report that they wrote", "03-self", mm({ reportsWrite: true })],
  ["POPULATE goes on behind a gap", "13-populate", mm({ populateByArea: true })],
  ["user faults take mmap_lock at once", "13-populate", mm({ userFaultsLockArea: false })],
  ["madvise knows no POPULATE", "13-populate", mm({ madvPopulate: false })],
  ["truncation leaves what lies behind the end", "rand-1", { zeroesBeyondEof: false }],
  ["RWF_NOAPPEND is not known", "09-flags", { rwfFlags: 0x1f }],
  ["pipes leave no empty slot", "10-pipes", { pipeKeepsEmptySlot: false }],
  ["a write does not go on after a round that fell short", "11-windows", mutant("drops the retry")],
  ["a round is for all that is left, not for its window", "03-self", mutant("forgets the window's cap")],
  ["direct I/O that the buffer cuts short is an error", "near-1", iomap({ dioPartial: false })],
  [
    "what direct I/O did before it was cut short is counted twice",
    "08-direct",
    direct(
      (io) =>
        function* (task, iocb, iter) {
          const { count } = iter;
          const ret = yield* io(task, iocb, iter);
          return (iter.count > 0 && ret > 0 ? ret + count - iter.count : ret) as typeof ret;
        },
    ),
  ],
  [
    "minor and major faults are mixed up",
    "03-self",
    buffered(
      around((task) => {
        const { minFlt, majFlt } = task;
        return () => {
          const minor = task.minFlt - minFlt;
          task.minFlt = minFlt + (task.majFlt - majFlt);
          task.majFlt = majFlt + minor;
        };
      }),
    ),
  ],
  [
    "the file is as long as the write will make it before anything is written",
    "02-write-faults",
    {
      bufferedWrite: around((_task, iocb, iter) => {
        const { inode } = iocb.file;
        inode.size = Math.max(inode.size, iocb.pos + iter.count);
        return () => {};
      })(sound.bufferedWrite),
    },
  ],
  [
    "a longer file is as long as before until the write is over",
    "rand-1",
    {
      bufferedWrite: around((_task, iocb, iter) => {
        const { inode } = iocb.file;
        const end = iocb.pos + iter.count;
        return () => {
          if (inode.size === end && iocb.pos === end) inode.size--;
        };
      })(sound.bufferedWrite),
    },
  ],
  [
    "O_APPEND writes where the file position is, not at the end",
    "09-flags",
    {
      bufferedWrite: around((_task, iocb) => {
        if ((iocb.file.flags & O_APPEND) !== 0) iocb.pos = iocb.file.pos;
        return () => {};
      })(sound.bufferedWrite),
    },
  ],
  [
    "no fault maps what lies around it",
    "03-self",
    buffered(
      around((task) => {
        const { vmas } = task.mm;
        for (let vma = vmas.find(0); vma !== null; vma = vmas.next(vma)) {
          if (vma.ops !== null) Object.assign(vma, { ops: { ...vma.ops, mapPages: undefined } });
        }
        return () => {};
      }),
    ),
  ],
  ["a read collects half as many pages", "vary-1", { readBatch: 15 }],
  ["nothing is faulted in from address 0", "05-read-faults", mm({ faultInSkipsZero: true })],
  ["a missing page goes on with the old window", "06-eof", readahead({ splitSyncAsync: false })],
  ["windows grow small again", "11-windows", readahead({ windowsShrink: true })],
  ["private pages wait for a fault to become writable", "near-2", mm({ mprotectMakesWriteable: false })],
  ["faults around look at the last page's table", "vary-1", mm({ lastPageNeedsTable: false })],
];

/** The first recording of the theme that is equal with the sound revision and differs with this one. */
function noticedBy(revision: Gfs2Revision, pairs: readonly { scenario: Scenario; recording: Recording }[]): string | null {
  const differs = ({ scenario, recording }: (typeof pairs)[number], kernel: Gfs2Revision): boolean => {
    const run = runScenario(scenario, { kernel, traced: true, hostMemory });
    return compareRecordings(scenario, recording, run.recording, { unseen }).length > 0;
  };
  return pairs.find((pair) => differs(pair, revision) && !differs(pair, sound))?.scenario.id ?? null;
}

describe.each(PLANTED)("%s", (_desc, theme, change) => {
  test(`is noticed in ${theme}`, { timeout: 120_000 }, () => {
    expect(noticedBy({ ...sound, ...change }, pairsOf(KERNEL, theme))).not.toBeNull();
  });
});
