import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../../test/support/runs.js";
import { ExpiryRing } from "./expiry-ring.js";

const SECOND = 1e6;
const NOW = 1_893_456_000 * SECOND;
const FOREVER = Number.POSITIVE_INFINITY;

/** Everything that is due, in the order in which it comes. */
function due(ring: ExpiryRing, nowUs: number): number[] {
  const slots: number[] = [];
  for (let slot = ring.takeDue(nowUs, FOREVER); slot >= 0; slot = ring.takeDue(nowUs, FOREVER)) {
    slots.push(slot);
  }
  return slots;
}

const sorted = (slots: Iterable<number>): number[] => [...slots].sort((a, b) => a - b);

describe("the expiry ring", () => {
  test("gives out a slot once the second of its expiry has passed", () => {
    const ring = new ExpiryRing();
    ring.add(0, NOW + 2.5 * SECOND, NOW);
    expect(ring.takeDue(NOW + 2.9 * SECOND, FOREVER)).toBe(-1);
    expect(ring.takeDue(NOW + 3 * SECOND, FOREVER)).toBe(0);
    expect(ring.takeDue(NOW + 100 * SECOND, FOREVER)).toBe(-1);
  });

  test("forgets a slot that was taken out", () => {
    const ring = new ExpiryRing();
    for (const slot of [0, 1, 2]) ring.add(slot, NOW + SECOND, NOW);
    ring.remove(1);
    expect(sorted(due(ring, NOW + 5 * SECOND))).toEqual([0, 2]);
  });

  test("walks no more buckets than told, and goes on there next time", () => {
    const ring = new ExpiryRing();
    ring.add(0, NOW + 500 * SECOND, NOW);
    const later = NOW + 600 * SECOND;
    let calls = 0;
    while (ring.takeDue(later, 64) < 0) calls += 1;
    expect(calls).toBe(7);
  });

  test("gives out a slot that expires beyond its horizon when that comes, to be looked at again", () => {
    const ring = new ExpiryRing();
    ring.add(0, NOW + 1_000_000 * SECOND, NOW);
    expect(ring.takeDue(NOW + 1022 * SECOND, FOREVER)).toBe(-1);
    expect(ring.takeDue(NOW + 1024 * SECOND, FOREVER)).toBe(0);
  });

  test("finds everything after years of silence", () => {
    const ring = new ExpiryRing();
    for (let slot = 0; slot < 200; slot++) ring.add(slot, NOW + slot * 10 * SECOND, NOW);
    expect(due(ring, NOW + 1e9 * SECOND)).toHaveLength(200);
  });

  test("lists the soonest first, and at most as many as asked", () => {
    const ring = new ExpiryRing();
    for (const [slot, seconds] of [50, 10, 30, 20, 40].entries()) {
      ring.add(slot, NOW + seconds * SECOND, NOW);
    }
    expect([...ring.soonest(3)]).toEqual([1, 3, 2]);
    expect([...ring.soonest(100)]).toEqual([1, 3, 2, 4, 0]);
  });

  test("does not lose slots when the clock goes far back", () => {
    const ring = new ExpiryRing();
    ring.add(0, NOW + 10 * SECOND, NOW);
    const past = NOW - 1e6 * SECOND;
    ring.add(1, past + 10 * SECOND, past);
    expect(due(ring, past + 2000 * SECOND)).toContain(1);
    expect(due(ring, NOW + 2000 * SECOND)).toEqual(expect.arrayContaining([]));
    // Whichever round it came in, slot 0 was given out exactly once.
    expect([...ring.soonest(10)]).toEqual([]);
  });

  test("holds what a plain list holds, whatever is added, removed and taken", () => {
    const operations = fc.array(
      fc.record({
        kind: fc.constantFrom("add", "add", "add", "remove", "take", "pass"),
        which: fc.nat(1000),
        seconds: fc.oneof(fc.nat(20), fc.nat(3000)),
      }),
      { maxLength: 300, size: "max" },
    );
    fc.assert(
      fc.property(operations, (list) => {
        const ring = new ExpiryRing();
        const model = new Map<number, number>();
        let nowUs = NOW;
        for (const { kind, which, seconds } of list) {
          const slots = [...model.keys()];
          // As the arena hands them out: without gaps.
          const free = slots.length === 0 ? 0 : slots.findIndex((_, i) => !model.has(i));
          const slot =
            kind === "add" ? (free < 0 ? slots.length : free) : slots[which % slots.length];
          if (slot === undefined) continue;
          if (kind === "add") {
            ring.add(slot, nowUs + seconds * SECOND, nowUs);
            model.set(slot, nowUs + seconds * SECOND);
          } else if (kind === "remove") {
            ring.remove(slot);
            model.delete(slot);
          } else if (kind === "pass") {
            nowUs += seconds * SECOND;
          } else if (kind === "take") {
            const taken = ring.takeDue(nowUs, 64);
            // Given out early only because it was beyond the horizon: the owner puts it back.
            if (taken >= 0) {
              expect(model.has(taken)).toBe(true);
              model.delete(taken);
            }
          }
          expect(sorted(ring.soonest(1000))).toEqual(sorted(model.keys()));
        }
        nowUs += 5000 * SECOND;
        expect(sorted(due(ring, nowUs))).toEqual(sorted(model.keys()));
      }),
      { numRuns: runs(200) },
    );
  });
});
