// The distributed lock manager of a cluster (fs/dlm): resources by name, each kept by one node, its master; the
// others send messages. Messages between two nodes arrive in the order in which they were sent.
//
// A node that goes down keeps its locks until its journal has been recovered: until then what they protect may
// not be read.

import { EDEADLK, err, type World } from "@faultline/kernel";
import { Lkb, type LkbOwner } from "./lkb.ts";
import { dlmModesCompat } from "./modes.ts";
import { Rsb, type RsbMessages } from "./rsb.ts";

export interface DlmOptions {
  /** Simulated microseconds that a message takes; 50 by default, 0 = it arrives at once. */
  readonly latency?: number;
  /** Simulated microseconds from a node's end to its locks being free; 1 s by default. */
  readonly recovery?: number;
}

/** Sums over all nodes. */
export interface DlmStats {
  /** New locks and conversions that were asked for. */
  requests: number;
  messages: number;
  /** Nodes told that another one waits. */
  basts: number;
  /** Conversions refused because they would have waited for each other. */
  deadlocks: number;
}

export class Dlm implements RsbMessages {
  readonly world: World;
  readonly latency: number;
  readonly recovery: number;
  readonly stats: DlmStats = { requests: 0, messages: 0, basts: 0, deadlocks: 0 };
  readonly #resources = new Map<string, Rsb>();
  /** Nodes that are no longer there, recovered or not. */
  readonly #down = new Set<number>();
  #nodes = 0;
  /** When the last message between two nodes arrives, by sender and receiver. */
  readonly #arrivals = new Map<number, number>();
  /** Messages to and from masters that went down, until another node is master. */
  #held: (() => void)[] = [];

  constructor(world: World, options: DlmOptions = {}) {
    this.world = world;
    this.latency = options.latency ?? 50;
    this.recovery = options.recovery ?? 1_000_000;
  }

  /** One more node. Returns: its number. */
  join(): number {
    return ++this.#nodes;
  }

  /** A lock of a node on a resource; nothing is granted yet. Whoever comes first is master. */
  open(node: number, name: string, owner: LkbOwner): Lkb {
    let resource = this.#resources.get(name);
    if (resource === undefined) {
      resource = new Rsb(this.world.newId(`lock ${name}`), name, node, this);
      this.#resources.set(name, resource);
    }
    return new Lkb(node, resource, owner);
  }

  /**
   * Ask for a mode, for the first time or another one; `complete` gets 0, -EAGAIN or -EDEADLK.
   *
   * Context: atomic; one request for a lock at a time. Linux: dlm_lock()
   */
  lock(lkb: Lkb, mode: number, flags: number, complete: (status: number) => void): void {
    const { resource } = lkb;
    this.stats.requests++;
    this.world.trace?.emit(NOBODY, "dlm_lock_start", resource.id, lkb.node, mode);
    lkb.complete = complete;
    if (resource.master === NO_MASTER) resource.master = lkb.node;
    this.#send(lkb, true, () => {
      this.world.accesses?.write(resource.id);
      lkb.requested = mode;
      lkb.flags = flags;
      resource.request(lkb);
    });
  }

  /** Linux: queue_cast() */
  ast(lkb: Lkb, status: number): void {
    const { resource } = lkb;
    if (status === err(EDEADLK)) this.stats.deadlocks++;
    this.#send(lkb, false, () => {
      this.world.trace?.emit(NOBODY, "dlm_ast", resource.id, lkb.node, lkb.granted, status);
      lkb.complete(status);
    });
  }

  /** A node that has let go meanwhile need not be told. Linux: queue_bast(), dlm_get_queue_callback() */
  bast(lkb: Lkb, mode: number): void {
    const { resource } = lkb;
    this.#send(lkb, false, () => {
      if (dlmModesCompat(lkb.granted, mode)) return;
      this.stats.basts++;
      this.world.trace?.emit(NOBODY, "dlm_bast", resource.id, lkb.node, mode);
      lkb.owner.blockingAst(mode);
    });
  }

  /**
   * A node takes part no more. When the time for recovery is over, `recover` replays its journal, and only then
   * others get its locks.
   *
   * Context: atomic. Linux: dlm_recover_members(), gfs2_recover_func()
   */
  leave(node: number, recover: () => void): void {
    if (this.#down.has(node)) return;
    this.#down.add(node);
    this.world.after(this.recovery, () => {
      recover();
      for (const resource of this.#resources.values()) this.#purge(resource, node);
      const held = this.#held;
      this.#held = [];
      for (const deliver of held) deliver();
    });
  }

  #purge(resource: Rsb, node: number): void {
    this.world.accesses?.write(resource.id);
    if (resource.master === node) {
      resource.master = resource.nodes().find((each) => !this.#down.has(each)) ?? NO_MASTER;
    }
    resource.purge(node);
  }

  /** Deliver between the node of a lock and its master, after the time that it takes, in order. */
  #send(lkb: Lkb, toMaster: boolean, deliver: () => void): void {
    const { node, resource } = lkb;
    const { master } = resource;
    const arrive = (): void => {
      if (this.#down.has(node)) return;
      if (this.#down.has(resource.master)) this.#held.push(deliver);
      else deliver();
    };
    if (node === master) {
      arrive();
      return;
    }
    this.stats.messages++;
    const { now } = this.world;
    const link = toMaster ? node * MOST_NODES + master : master * MOST_NODES + node;
    const slow = this.world.choose("dlm-delay", 4);
    const at = Math.max(now + this.latency * (1 + slow), this.#arrivals.get(link) ?? 0);
    if (at === now) {
      arrive();
      return;
    }
    this.#arrivals.set(link, at);
    this.world.after(at - now, arrive);
  }
}

/** Messages are the doing of no task. */
const NOBODY = { pid: 0 };
/** The master of a resource that nobody has a lock on any more. */
const NO_MASTER = 0;
const MOST_NODES = 0x10000;
