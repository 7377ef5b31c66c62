// struct inode: a file as one node sees it, and its page cache. Filesystems extend it.

import { type MaySleep, type Pfn, partOf, RwSemaphore, type Status, WaitChannel, wakeUpAll } from "@faultline/kernel";
import { AddressSpace, type AddressSpaceOperations, type UserTask } from "@faultline/mm";
import { Errseq } from "../cache/errseq.ts";
import type { PagePins } from "../cache/page-pins.ts";
import type { ReadaheadControl } from "../cache/readahead.ts";
import type { SuperBlock } from "./super.ts";

/** What the page cache asks of a filesystem. Linux: struct address_space_operations */
export interface FileMappingOperations extends AddressSpaceOperations {
  /** Start reading the pages of `rac`; they are locked, and unlocked when their read is over. */
  readahead(task: UserTask, rac: ReadaheadControl): MaySleep<void>;
  /**
   * Read one locked page; it is unlocked when the read is over, and uptodate if it went well.
   *
   * Context: sleeps. Returns: 0 when the read was started, or an error (the page is unlocked then too).
   */
  readFolio(task: UserTask, mapping: FileMapping, frame: Pfn): MaySleep<Status>;
  /**
   * Send dirty pages of [start, end] to the disk. What goes wrong is told when they are waited for.
   *
   * Context: sleeps; no page lock held.
   */
  writepages(task: UserTask, mapping: FileMapping, range: WritebackRange): MaySleep<void>;
}

/** Which dirty pages to write. Linux: struct writeback_control */
export interface WritebackRange {
  /** First and last byte. */
  readonly start: number;
  readonly end: number;
  /** Wait for pages that are under write-back already, and send them again if they are dirty. Linux: WB_SYNC_ALL */
  readonly sync: boolean;
}

/** The page cache of one file. */
export class FileMapping extends AddressSpace {
  declare readonly ops: FileMappingOperations;
  declare readonly host: Inode;
  /** Dirty pages, so that clean files are not searched. */
  nrDirty = 0;
  /** Pages under write-back. */
  nrWriteback = 0;
  /** The first write-back error that nobody has been told of; 0 = none. Linux: AS_EIO, AS_ENOSPC */
  wbErr: Status = 0;
  /** The same for fsync, which tells each open file. Linux: wb_err */
  readonly errseq: Errseq = new Errseq();
  /** Who keeps references to pages across a fault; made for the first of them. */
  pins: PagePins | null = null;

  /** What access logs call the count of dirty pages: whose pages come and go reads it, who looks at it writes. */
  get dirtyId(): number {
    return this.slotId(DIRTY_COUNT);
  }
}

/** A slot beyond all pages. */
const DIRTY_COUNT = 2 ** 33;

export abstract class Inode {
  readonly sb: SuperBlock;
  readonly ino: number;
  /** What reports and traces call it. */
  readonly label: string;
  /** Serialises writers; held across a whole write, fault-in included. Linux: i_rwsem */
  readonly rwsem: RwSemaphore;
  abstract readonly mapping: FileMapping;
  #size = 0;
  readonly #accessId: number;
  /** Direct I/O in flight; kept by dioBegin and dioEnd. Linux: i_dio_count */
  dioInFlight = 0;
  /** Ready while no direct I/O is in flight. */
  readonly dioDone: DioDone;
  /** Simulated microseconds of the last change. */
  mtime = 0;
  /** Open files. */
  openCount = 0;

  constructor(sb: SuperBlock, ino: number, label: string) {
    this.sb = sb;
    this.ino = ino;
    this.label = label;
    this.#accessId = sb.world.newId(label);
    this.rwsem = new RwSemaphore(sb.world, "i_rwsem", `i_rwsem ${label}`);
    this.dioDone = new DioDone(this);
  }

  /** Bytes; changed under rwsem and the filesystem's own lock, and looked at by readers who have neither. */
  get size(): number {
    this.sb.world.accesses?.read(this.#accessId);
    return this.#size;
  }

  set size(size: number) {
    if (size !== this.#size) this.sb.world.accesses?.write(this.#accessId);
    this.#size = size;
  }

  /** Direct I/O in flight, for whoever acts on it. */
  get dioCount(): number {
    this.sb.world.accesses?.read(partOf(this.rwsem.id, DIO_COUNT));
    return this.dioInFlight;
  }

  /** Does the file's data lie with its metadata? */
  abstract get isInline(): boolean;
  /** The data with the metadata changed. Context: atomic. */
  abstract markInlineDirty(): void;
}

/** The part of i_rwsem that stands for dioCount in access logs. */
const DIO_COUNT = 2;

class DioDone extends WaitChannel {
  readonly inode: Inode;

  constructor(inode: Inode) {
    super(`direct I/O of ${inode.label}`);
    this.inode = inode;
  }

  override isReady(): boolean {
    return this.inode.dioInFlight === 0;
  }
}

/** Direct I/O on the inode begins. Context: atomic. Linux: inode_dio_begin() */
export function dioBegin(inode: Inode): void {
  inode.sb.world.accesses?.write(partOf(inode.rwsem.id, DIO_COUNT));
  inode.dioInFlight++;
}

/** Direct I/O on the inode is over. Context: atomic. Linux: inode_dio_end() */
export function dioEnd(inode: Inode): void {
  inode.sb.world.accesses?.write(partOf(inode.rwsem.id, DIO_COUNT));
  if (--inode.dioInFlight === 0) wakeUpAll(inode.dioDone);
}
