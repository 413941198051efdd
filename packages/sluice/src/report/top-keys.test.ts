import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import type { ListedIds } from "./denied-ids.js";
import { idsFromText, idsToText } from "./id-text.js";
import { mergeIds } from "./merge-ids.js";
import { TopKeys } from "./top-keys.js";

function counted(keys: readonly string[], most: number): TopKeys {
  const top = new TopKeys(most);
  for (const key of keys) top.add(key);
  return top;
}

function trueCounts(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

const listOf = (top: TopKeys): ListedIds => ({ floor: top.floor, ids: top.entries() });

/** Few keys come often, many seldom. */
const stream = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 60 })).map(String),
  { maxLength: 400 },
);
const size = fc.integer({ min: 1, max: 12 });

describe("the keys that were counted most", () => {
  test("keep the bounds of Space-Saving, whatever comes", () => {
    const property = fc.property(stream, size, (keys, most) => {
      const top = counted(keys, most);
      const counts = trueCounts(keys);
      const entries = top.entries();
      expect(entries.length).toBe(Math.min(most, counts.size));
      expect(entries.reduce((sum, { count }) => sum + count, 0)).toBe(keys.length);
      expect(top.floor).toBeLessThanOrEqual(keys.length / most);
      for (const { key, count, error } of entries) {
        const truth = counts.get(key) ?? 0;
        expect(truth).toBeLessThanOrEqual(count);
        expect(truth).toBeGreaterThanOrEqual(count - error);
        expect(error).toBeLessThanOrEqual(top.floor);
      }
      const held = new Set(entries.map(({ key }) => key));
      for (const [key, truth] of counts) {
        if (!held.has(key)) expect(truth).toBeLessThanOrEqual(top.floor);
      }
      expect(entries).toEqual([...entries].sort((a, b) => b.count - a.count));
    });
    fc.assert(property, { numRuns: runs(300) });
  });

  test("are exact while all fit", () => {
    const top = counted(["a", "b", "a", "c", "a", "b"], 3);
    expect(top.floor).toBe(1);
    expect(top.entries()).toEqual([
      { key: "a", count: 3, error: 0 },
      { key: "b", count: 2, error: 0 },
      { key: "c", count: 1, error: 0 },
    ]);
    expect(counted(["a", "b"], 3).floor).toBe(0);
    expect([new TopKeys(1).isEmpty, top.isEmpty]).toEqual([true, false]);
  });
});

describe("lists of several processes", () => {
  test("bound every id's count, listed or not, after they went through text", () => {
    const property = fc.property(
      fc.array(fc.tuple(stream, size), { maxLength: 4 }),
      (processes) => {
        const lists = processes.map(([keys, most]) =>
          idsFromText(idsToText(listOf(counted(keys, most)))),
        );
        const { topDenied, unlistedAtMost } = mergeIds(lists as ListedIds[]);
        const counts = trueCounts(processes.flatMap(([keys]) => keys));
        for (const { id, atLeast, atMost } of topDenied) {
          expect(counts.get(id) ?? 0).toBeGreaterThanOrEqual(atLeast);
          expect(counts.get(id) ?? 0).toBeLessThanOrEqual(atMost);
        }
        const shown = new Set(topDenied.map(({ id }) => id));
        for (const [id, truth] of counts) {
          if (!shown.has(id)) expect(truth).toBeLessThanOrEqual(unlistedAtMost);
        }
      },
    );
    fc.assert(property, { numRuns: runs(300) });
  });

  test("show a hundred ids, those that were denied most for certain, and bound the others", () => {
    const ids = Array.from({ length: 150 }, (_, i) => ({ key: `k${i}`, count: i + 1, error: 0 }));
    const { topDenied, unlistedAtMost } = mergeIds([{ floor: 0, ids }]);
    expect(topDenied).toHaveLength(100);
    expect(topDenied[0]).toEqual({ id: "k149", atLeast: 150, atMost: 150 });
    expect(unlistedAtMost).toBe(50);
  });

  test("bound an id by its own count, and by the floor where it is not listed", () => {
    const ids = [{ key: "a", count: 5, error: 2 }];
    const listed = { floor: 3, ids };
    expect(mergeIds([listed])).toEqual({
      topDenied: [{ id: "a", atLeast: 3, atMost: 5 }],
      unlistedAtMost: 3,
    });
    expect(mergeIds([listed, { floor: 4, ids: [] }]).topDenied).toEqual([
      { id: "a", atLeast: 3, atMost: 9 },
    ]);
  });

  test.each(["", "2 a=1", "1 a", "1 a=x", "1 =1"])("in text %j are not read", (text) => {
    expect(idsFromText(text)).toBeUndefined();
  });
});
