// What is known of the order of steps from runs before: a lane that has come to a place waits there until another one
// has passed a place of its own.

/** Where a lane makes a step: its number, and how far it has come. */
export interface Place {
  readonly lane: number;
  readonly at: string;
}

export interface PlaceOrder {
  readonly earlier: Place;
  readonly later: Place;
}

/** So often an order is corrected by a later run. */
const MOST_ORDERS = 4;

/** What stays known from run to run. */
export class Precedence {
  #before: ReadonlyMap<string, readonly Place[]> = new Map();
  readonly #known = new Set<string>();

  /** Returns: false when that was known already. */
  learn(orders: readonly PlaceOrder[]): boolean {
    const text = orders.map(({ earlier, later }) => `${textOf(earlier)} ${textOf(later)}`).join();
    if (orders.length === 0 || this.#known.has(text) || this.#known.size >= MOST_ORDERS) return false;
    this.#known.add(text);
    const before = new Map<string, Place[]>();
    for (const { earlier, later } of orders) {
      const key = textOf(later);
      before.set(key, [...(before.get(key) ?? []), earlier]);
    }
    this.#before = before;
    return true;
  }

  before(place: Place): readonly Place[] {
    return this.#before.get(textOf(place)) ?? [];
  }
}

/** Where the lanes of one run have been. */
export class Passage {
  readonly #precedence: Precedence;
  readonly #passed = new Set<string>();
  /** Steps at one point of the events, by lane and point. */
  readonly #steps = new Map<string, number>();

  constructor(precedence: Precedence) {
    this.#precedence = precedence;
  }

  /** The place of a lane's next step, when it has come to this point of its events. */
  next(lane: number, point: string): Place {
    return { lane, at: `${point} ${this.#steps.get(`${lane} ${point}`) ?? 0}` };
  }

  /** The lane makes that step. */
  pass(lane: number, point: string): Place {
    const place = this.next(lane, point);
    this.#passed.add(textOf(place));
    const key = `${lane} ${point}`;
    this.#steps.set(key, (this.#steps.get(key) ?? 0) + 1);
    return place;
  }

  /** The lane that is to go on before this one; undefined when none is. */
  waitsFor(lane: number, point: string): number | undefined {
    return this.#precedence.before(this.next(lane, point)).find((place) => !this.#passed.has(textOf(place)))?.lane;
  }
}

function textOf({ lane, at }: Place): string {
  return `${lane}: ${at}`;
}
