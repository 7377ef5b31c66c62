// Pipes (fs/pipe.c): a ring of pages, a mutex, and two queues of those who wait.
//
// A write of up to PIPE_BUF bytes takes one slot or fits behind the last one, so it is never split, not even
// by a fault: faults are taken with the mutex held, and a copy that falls short leaves its bytes out. Larger
// writes let go of the mutex when the pipe is full, and others get in between.

import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  ENOMEM,
  EPERM,
  EPIPE,
  err,
  type Faulting,
  type MayFault,
  Mutex,
  mutexLock,
  mutexUnlock,
  PAGE_SIZE,
  type Pfn,
  pagesFor,
  type Ssize,
  type Task,
  WaitChannel,
  type World,
  wakeUpAll,
} from "@faultline/kernel";
import { allocPage, FAULTS_ENABLED, type PhysMem, putPage, type UserTask } from "@faultline/mm";
import { copyPageFromIter, copyPageToIter, type IovIter } from "@faultline/uio";
import { File, type FileOperations, O_NONBLOCK, O_RDONLY, O_WRONLY } from "./file.ts";
import { IOCB_NOWAIT, type Kiocb } from "./kiocb.ts";

/** Writes up to this size are atomic. */
export const PIPE_BUF: number = PAGE_SIZE;
/** Slots of a new pipe. Linux: PIPE_DEF_BUFFERS */
const DEFAULT_SLOTS = 16;
/** Bytes that a pipe may be given by anybody. Linux: /proc/sys/fs/pipe-max-size */
const PIPE_MAX_SIZE = 1024 * 1024;
/** A larger size makes no sense to anybody. */
const ABSURD_SIZE = 2 ** 31;
export const SIGPIPE = 13;

interface PipeSlot {
  readonly page: Pfn;
  offset: number;
  len: number;
}

/** Linux: struct pipe_inode_info */
export class Pipe {
  readonly mem: PhysMem;
  /** Since 7.2 a slot is not taken before its copy has succeeded; before, it stayed behind empty. */
  readonly keepsEmptySlot: boolean;
  readonly mutex: Mutex;
  /** Oldest first. */
  readonly slots: PipeSlot[] = [];
  maxSlots: number = DEFAULT_SLOTS;
  readers = 1;
  writers = 1;
  readonly readable: WaitChannel;
  readonly writable: WaitChannel;

  constructor(world: World, mem: PhysMem, keepsEmptySlot: boolean) {
    this.mem = mem;
    this.keepsEmptySlot = keepsEmptySlot;
    this.mutex = new Mutex(world, "pipe->mutex");
    this.readable = new PipeCondition("data in pipe", () => this.slots.length > 0 || this.writers === 0);
    this.writable = new PipeCondition("room in pipe", () => this.slots.length < this.maxSlots || this.readers === 0);
  }

  /** Bytes waiting. Linux: FIONREAD */
  get bytes(): number {
    return this.slots.reduce((sum, slot) => sum + slot.len, 0);
  }
}

class PipeCondition extends WaitChannel {
  readonly #holds: () => boolean;

  constructor(label: string, holds: () => boolean) {
    super(label);
    this.#holds = holds;
  }

  override isReady(task: Task): boolean {
    return this.#holds() || task.fatalSignal;
  }

  override get killable(): boolean {
    return true;
  }
}

/** Write into the pipe. Context: may fault; sleeps while it is full. Linux: pipe_write() */
function* pipeWrite(task: UserTask, pipe: Pipe, iocb: Kiocb, from: IovIter): MayFault<number> {
  const { mem } = pipe;
  if (from.count === 0) return 0;
  yield* mutexLock(task, pipe.mutex);
  let ret = 0;
  if (pipe.readers > 0) {
    const merged = yield* mergeIntoLast(task, pipe, from);
    if (merged < 0) {
      mutexUnlock(task, pipe.mutex);
      return merged;
    }
    ret = merged;
  }
  while (from.count > 0) {
    if (pipe.readers === 0) {
      task.pendingSignals.add(SIGPIPE);
      if (ret === 0) ret = err(EPIPE);
      break;
    }
    if (pipe.slots.length < pipe.maxSlots) {
      const page = yield* allocPage(task, mem, false);
      if (page === 0) {
        if (ret === 0) ret = err(ENOMEM);
        break;
      }
      const slot: PipeSlot = { page, offset: 0, len: 0 };
      if (pipe.keepsEmptySlot) pipe.slots.push(slot);
      const copied = yield* copyPageFromIter(task, page, 0, Math.min(PAGE_SIZE, from.count), from, FAULTS_ENABLED);
      if (copied < PAGE_SIZE && from.count > 0) {
        if (!pipe.keepsEmptySlot) putPage(mem, page);
        if (ret === 0) ret = err(EFAULT);
        break;
      }
      if (!pipe.keepsEmptySlot) pipe.slots.push(slot);
      slot.len = copied;
      ret += copied;
      continue;
    }
    if (mayNotWait(iocb)) {
      if (ret === 0) ret = err(EAGAIN);
      break;
    }
    if (task.fatalSignal) {
      if (ret === 0) ret = err(EINTR);
      break;
    }
    mutexUnlock(task, pipe.mutex);
    wakeUpAll(pipe.readable);
    while (!pipe.writable.isReady(task)) yield pipe.writable;
    yield* mutexLock(task, pipe.mutex);
  }
  mutexUnlock(task, pipe.mutex);
  wakeUpAll(pipe.readable);
  return ret;
}

/** Put the odd bytes behind the last slot if they fit as a whole. Returns: bytes, 0, or -EFAULT. */
function* mergeIntoLast(task: UserTask, pipe: Pipe, from: IovIter): MayFault<number> {
  const odd = from.count % PAGE_SIZE;
  const last = pipe.slots[pipe.slots.length - 1];
  if (odd === 0 || last === undefined || last.offset + last.len + odd > PAGE_SIZE) return 0;
  const copied = yield* copyPageFromIter(task, last.page, last.offset + last.len, odd, from, FAULTS_ENABLED);
  if (copied < odd) return err(EFAULT);
  last.len += copied;
  return copied;
}

/** Read from the pipe. Context: may fault; sleeps while it is empty. Linux: pipe_read() */
function* pipeRead(task: UserTask, pipe: Pipe, iocb: Kiocb, to: IovIter): MayFault<number> {
  if (to.count === 0) return 0;
  yield* mutexLock(task, pipe.mutex);
  let ret = 0;
  for (;;) {
    const slot = pipe.slots[0];
    if (slot !== undefined) {
      const chars = Math.min(slot.len, to.count);
      const copied = yield* copyPageToIter(task, slot.page, slot.offset, chars, to, FAULTS_ENABLED);
      if (copied < chars) {
        if (ret === 0) ret = err(EFAULT);
        break;
      }
      ret += chars;
      slot.offset += chars;
      slot.len -= chars;
      if (slot.len === 0) {
        pipe.slots.shift();
        putPage(pipe.mem, slot.page);
      }
      if (to.count === 0) break;
      if (pipe.slots.length > 0) continue;
    }
    if (pipe.writers === 0 || ret > 0) break;
    if (mayNotWait(iocb)) {
      ret = err(EAGAIN);
      break;
    }
    if (task.fatalSignal) {
      ret = err(EINTR);
      break;
    }
    mutexUnlock(task, pipe.mutex);
    wakeUpAll(pipe.writable);
    while (!pipe.readable.isReady(task)) yield pipe.readable;
    yield* mutexLock(task, pipe.mutex);
  }
  mutexUnlock(task, pipe.mutex);
  wakeUpAll(pipe.writable);
  return ret;
}

function mayNotWait({ file, flags }: Kiocb): boolean {
  return (file.flags & O_NONBLOCK) !== 0 || (flags & IOCB_NOWAIT) !== 0;
}

/** The two ends of a new pipe; do they honour RWF_NOWAIT? Linux: create_pipe_files() */
export function createPipeFiles(world: World, pipe: Pipe, flags: number, nowait: boolean): [read: File, write: File] {
  const ops = pipeOperations(pipe);
  return [new File(world, ops, O_RDONLY | flags, null, nowait), new File(world, ops, O_WRONLY | flags, null, nowait)];
}

/** The pipe behind each pipe file's operations. */
export interface PipeOperations extends FileOperations<Faulting> {
  readonly pipe: Pipe;
}

function pipeOperations(pipe: Pipe): PipeOperations {
  return {
    pipe,
    *readIter(task, iocb, to) {
      task.world.trace?.emit(task, "pipe_read");
      const ret = yield* pipeRead(task, pipe, iocb, to);
      task.world.trace?.emit(task, "pipe_read_ret", ret);
      return ret as Ssize;
    },
    *writeIter(task, iocb, from) {
      task.world.trace?.emit(task, "pipe_write");
      const ret = yield* pipeWrite(task, pipe, iocb, from);
      task.world.trace?.emit(task, "pipe_write_ret", ret);
      return ret as Ssize;
    },
    release(_task, file) {
      if (file.readable) pipe.readers--;
      if (file.writable) pipe.writers--;
      wakeUpAll(pipe.readable);
      wakeUpAll(pipe.writable);
      if (pipe.readers + pipe.writers === 0) for (const slot of pipe.slots.splice(0)) putPage(pipe.mem, slot.page);
    },
  };
}

/** The pipe of a file, or null if it is none. */
export function pipeOf(file: File): Pipe | null {
  return (file.fOp as Partial<PipeOperations>).pipe ?? null;
}

/**
 * Give the pipe room for `size` bytes, rounded up to a power of two of pages.
 *
 * Context: atomic.
 * Returns: the size it has now; -EINVAL: absurd; -EPERM: larger than anybody may; -EBUSY: it holds more than that.
 * Linux:   pipe_set_size(), fcntl(F_SETPIPE_SZ)
 * Differs: nobody is privileged.
 */
export function pipeSetSize(pipe: Pipe, size: number): number {
  if (size < 0 || size > ABSURD_SIZE) return err(EINVAL);
  const slots = 2 ** Math.ceil(Math.log2(Math.max(pagesFor(size), 1)));
  if (slots > pipe.maxSlots && slots * PAGE_SIZE > PIPE_MAX_SIZE) return err(EPERM);
  if (slots < pipe.slots.length) return err(EBUSY);
  pipe.maxSlots = slots;
  wakeUpAll(pipe.writable);
  return slots * PAGE_SIZE;
}
