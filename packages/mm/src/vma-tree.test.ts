// The tree must behave like a sorted list of areas, whatever is entered, moved and taken away, at sizes where its
// blocks are cut in two and vanish.
import { PAGE_SIZE, World } from "@faultline/kernel";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MM_LATEST, MmStruct, PhysMem, Vma } from "./index.ts";

const PLACES = 400;
/** Each area has room for two pages, and uses one of them, or both. */
const ROOM = 2 * PAGE_SIZE;

const step = fc.record({
  what: fc.constantFrom("insert", "insert", "remove", "move", "look"),
  place: fc.nat(PLACES - 1),
  /** Done to so many places from there on, upwards or downwards. */
  count: fc.integer({ min: 1, max: 150 }),
  up: fc.boolean(),
});

test("it agrees with a sorted list", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 25 }), (steps) => {
      const mm = new MmStruct(new PhysMem(new World(), 4 * PAGE_SIZE), MM_LATEST);
      const { vmas } = mm;
      const list: (Vma | null)[] = new Array(PLACES + 2).fill(null);
      const nearest = (place: number, by: 1 | -1): Vma | null => {
        for (let at = place; at >= 0 && at < list.length; at += by) if (list[at] !== null) return list[at];
        return null;
      };
      const look = (place: number): void => {
        const room = place * ROOM;
        const here = list[place];
        for (const address of [room, room + PAGE_SIZE - 1, room + PAGE_SIZE, room + ROOM - 1]) {
          const found = here !== null && here.start <= address && address < here.end ? here : null;
          expect(vmas.lookup(address)).toBe(found);
          const follows = here !== null && address < here.end ? here : nearest(place + 1, 1);
          expect(vmas.find(address)).toBe(follows);
          const below = here !== null && here.start < address ? here : nearest(place - 1, -1);
          expect(vmas.below(address)).toBe(below);
        }
        // Neighbours, also of an area that is not entered, and wherever the last search ended.
        const vma = here ?? new Vma(mm, room, room + ROOM, 0, 0);
        for (const elsewhere of [0, room, PLACES * ROOM]) {
          vmas.below(elsewhere + 1);
          expect(vmas.next(vma)).toBe(nearest(place + 1, 1));
          vmas.below(elsewhere + 1);
          expect(vmas.prev(vma)).toBe(nearest(place - 1, -1));
        }
      };
      const act = (what: string, place: number): void => {
        const here = list[place];
        if (what === "look") look(place);
        else if (what === "insert" && here === null) {
          const start = place * ROOM;
          list[place] = new Vma(mm, start, start + ROOM, 0, 0);
          vmas.insert(list[place] as Vma);
        } else if (what === "remove" && here !== null) {
          list[place] = null;
          vmas.remove(here);
        } else if (what === "move" && here !== null) {
          const room = place * ROOM;
          vmas.moveStart(here, here.start === room ? room + PAGE_SIZE : room);
        }
      };
      for (const { what, place, count, up } of steps) {
        for (let i = 0; i < count; i++) {
          const at = up ? place + i : place - i;
          if (at >= 1 && at <= PLACES && (what !== "look" || i % 16 === 0)) act(what, at);
        }
        const areas = list.filter((vma) => vma !== null);
        expect(vmas.size).toBe(areas.length);
        expect([...vmas.values()].findIndex((vma, i) => vma !== areas[i])).toBe(-1);
        look(place + 1);
      }
    }),
    { numRuns: 150, seed: 1 },
  );
});

test("what is not there is not taken away, and no two areas start at one address", () => {
  const mm = new MmStruct(new PhysMem(new World(), 4 * PAGE_SIZE), MM_LATEST);
  const vma = new Vma(mm, PAGE_SIZE, ROOM, 0, 0);
  expect(() => mm.vmas.remove(vma)).toThrow("not where it starts");
  mm.vmas.insert(vma);
  expect(() => mm.vmas.insert(new Vma(mm, PAGE_SIZE, ROOM, 0, 0))).toThrow("start at one address");
  mm.vmas.remove(vma);
  expect([...mm.vmas.values()]).toEqual([]);
});
