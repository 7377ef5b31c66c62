// The executions of a certificate, as a tree of events in which to look for one that begins in a given way.
//
// Every event is a number, so that what two events have to do with each other is worked out once. An execution
// begins with a sequence, up to the order of events that commute, when all of it is in the execution, in an order
// that its events allow, and nothing that comes between has to do with what comes after it. Part of verification:
// it shares no code with the search.

import { CONFLICTS, conflict, LEAVE, PASS, SHARE, TAKE, UNSHARE } from "./access.ts";
import type { Happening, Turn } from "./rerun.ts";

/** Nodes of the tree that are looked at for one question. */
const PATIENCE = 20_000;

/** A question: is there an execution that begins with these events and this turn? */
interface Wanted {
  readonly events: readonly number[];
  readonly turn: Turn;
  /** By place in `events`: was it found already? */
  readonly found: boolean[];
  left: number;
  isTurnLeft: boolean;
  /** What else the execution has had. */
  readonly others: number[];
  patience: number;
}

/** Where an event belongs in what is wanted, if not at a place of it. */
const TURN = -1;
const ELSEWHERE = -2;
const IN_THE_WAY = -3;

export class Frontier {
  /** By number. */
  readonly events: Happening[] = [];
  readonly #numbers = new Map<string, number>();
  /** Earlier event -> later event -> does it depend on it? */
  readonly #depends: boolean[][] = [];
  readonly #conflicts: number[][] = [];
  // The tree: by node, its event, its first child and its next sibling; 0 for none. Node 0 is the root.
  readonly #event: number[] = [-1];
  readonly #child: number[] = [0];
  readonly #sibling: number[] = [0];

  /** Add an execution. Returns: its events, by number. */
  add(events: readonly Happening[]): Uint32Array {
    const numbers = Uint32Array.from(events, (event) => this.#number(event));
    let node = 0;
    for (const number of numbers) node = this.#find(node, number) || this.#grow(node, number);
    return numbers;
  }

  /** Does an event depend on an earlier one? */
  depends(earlier: number, later: number): boolean {
    const row = this.#depends[earlier];
    row[later] ??= dependsOn(this.events[later], this.events[earlier]);
    return row[later];
  }

  /** Position of the first access of an event that does not commute with an earlier one of another task, or -1. */
  conflictAt(earlier: number, later: number): number {
    const row = this.#conflicts[earlier];
    row[later] ??= conflictAt(this.events[earlier], this.events[later]);
    return row[later];
  }

  /** Is there an execution that begins with these events and then this turn? false also when it takes too long. */
  has(events: readonly number[], turn: Turn): boolean {
    const found = events.map(() => false);
    const left = events.length;
    return this.#search(0, { events, turn, found, left, isTurnLeft: true, others: [], patience: PATIENCE });
  }

  #search(node: number, wanted: Wanted): boolean {
    if (wanted.left === 0 && !wanted.isTurnLeft) return true;
    // First those that are wanted, then those that are not in the way.
    for (let child = this.#child[node]; child !== 0; child = this.#sibling[child]) {
      if (wanted.patience-- <= 0) return false;
      const place = this.#placeOf(this.#event[child], wanted);
      if (place >= TURN && this.#take(child, place, wanted)) return true;
    }
    for (let child = this.#child[node]; child !== 0; child = this.#sibling[child]) {
      const event = this.#event[child];
      if (this.#placeOf(event, wanted) !== ELSEWHERE) continue;
      wanted.others.push(event);
      if (this.#search(child, wanted)) return true;
      wanted.others.pop();
    }
    return false;
  }

  /** Go on with an event that is wanted. */
  #take(child: number, place: number, wanted: Wanted): boolean {
    if (place === TURN) wanted.isTurnLeft = false;
    else {
      wanted.found[place] = true;
      wanted.left--;
    }
    if (this.#search(child, wanted)) return true;
    if (place === TURN) wanted.isTurnLeft = true;
    else {
      wanted.found[place] = false;
      wanted.left++;
    }
    return false;
  }

  #placeOf(event: number, wanted: Wanted): number {
    const { events, turn, found, others, isTurnLeft } = wanted;
    const { pid } = this.events[event];
    let place = ELSEWHERE;
    for (let i = 0; i < events.length; i++) {
      if (found[i]) continue;
      if (this.events[events[i]].pid === pid) {
        if (events[i] !== event) return IN_THE_WAY;
        place = i;
        break;
      }
      // Of two that do not commute, the one that is wanted first must come first.
      if (this.#related(events[i], event)) return IN_THE_WAY;
    }
    if (place === ELSEWHERE) {
      if (!isTurnLeft || pid !== turn.pid) return ELSEWHERE;
      if (!isTurn(this.events[event], turn)) return IN_THE_WAY;
      place = TURN;
    }
    for (const other of others) if (this.#related(other, event)) return IN_THE_WAY;
    return place;
  }

  #related(a: number, b: number): boolean {
    return this.depends(a, b) || this.depends(b, a);
  }

  #find(node: number, number: number): number {
    let child = this.#child[node];
    while (child !== 0 && this.#event[child] !== number) child = this.#sibling[child];
    return child;
  }

  #grow(node: number, number: number): number {
    const child = this.#event.length;
    this.#event.push(number);
    this.#child.push(0);
    this.#sibling.push(this.#child[node]);
    this.#child[node] = child;
    return child;
  }

  #number(event: Happening): number {
    const { pid, accesses, asked, spawned, now } = event;
    const chosen = asked.map(({ choice, count, picked, position }) => `${choice} ${picked}/${count}@${position}`);
    const key = [pid, now, accesses.join(), chosen.join(), spawned.join()].join(";");
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.events.length;
      this.#numbers.set(key, number);
      this.events.push(event);
      this.#depends.push([]);
      this.#conflicts.push([]);
    }
    return number;
  }
}

/** Is an event what comes of this turn? */
function isTurn({ asked }: Happening, { choices }: Turn): boolean {
  return choices.length <= asked.length && choices.every((choice, i) => choice === asked[i].picked);
}

function dependsOn(event: Happening, earlier: Happening): boolean {
  if (event.pid === earlier.pid || event.now !== earlier.now || earlier.spawned.includes(event.pid)) return true;
  return conflict(event.accesses, earlier.accesses) || letsIn(earlier, event);
}

/** Does an event let go of a lock that a later one takes? */
function letsIn(earlier: Happening, event: Happening): boolean {
  return earlier.accesses.some((lock, i) => {
    const deed = earlier.accesses[i + 1];
    if (i % 2 !== 0 || (deed !== LEAVE && deed !== UNSHARE)) return false;
    return event.accesses.some((object, j) => {
      const taking = event.accesses[j + 1];
      const takes = taking === TAKE || taking === PASS || (taking === SHARE && deed === LEAVE);
      return j % 2 === 0 && object === lock && takes;
    });
  });
}

function conflictAt(earlier: Happening, event: Happening): number {
  if (earlier.pid === event.pid) return -1;
  for (let i = 0; i < event.accesses.length; i += 2) {
    const conflicting = CONFLICTS[event.accesses[i + 1]];
    for (let j = 0; j < earlier.accesses.length; j += 2) {
      if (event.accesses[i] === earlier.accesses[j] && ((conflicting >> earlier.accesses[j + 1]) & 1) !== 0) return i;
    }
  }
  return -1;
}
