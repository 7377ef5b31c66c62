// Would conformance notice? One rule is broken at a time, in a revision made for the purpose; recordings that are
// equal with the sound revision have to differ.
import { type Gfs2Io, type Gfs2Revision, REVISIONS } from "@faultline/fs";
import { compareRecordings, type Recording, runScenario, type Scenario } from "@faultline/scenario";
import { describe, expect, test } from "vitest";
import { pairsOf, unseenOf } from "./corpus.ts";

const KERNEL = "6.12";
const sound = REVISIONS[KERNEL];
const unseen = unseenOf(KERNEL);

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
  ["the dirty throttle is looked at after a page", "11-windows", iomap({ throttlesFirst: false })],
  ["direct reads stop at the end of the file", "08-direct", iomap({ dioStopsAtEof: true })],
  ["direct reads ask for alignment segment by segment", "vary-1", iomap({ dioAlignsSegment: true })],
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
];

/** The first recording of the theme that is equal with the sound revision and differs with this one. */
function noticedBy(revision: Gfs2Revision, pairs: readonly { scenario: Scenario; recording: Recording }[]): string | null {
  const differs = ({ scenario, recording }: (typeof pairs)[number], kernel: Gfs2Revision): boolean => {
    const run = runScenario(scenario, { kernel, traced: true });
    return compareRecordings(scenario, recording, run.recording, { unseen }).length > 0;
  };
  return pairs.find((pair) => differs(pair, revision) && !differs(pair, sound))?.scenario.id ?? null;
}

describe.each(PLANTED)("%s", (_desc, theme, change) => {
  test(`is noticed in ${theme}`, { timeout: 120_000 }, () => {
    expect(noticedBy({ ...sound, ...change }, pairsOf(KERNEL, theme))).not.toBeNull();
  });
});
