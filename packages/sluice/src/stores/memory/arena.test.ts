import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bucketKernel } from "../../algorithms/bucket/kernel.js";
import type { Kernel, State } from "../../algorithms/kernel.js";
import { ruleOf } from "../../algorithms/rule.js";
import { slidingLogKernel } from "../../algorithms/sliding-log/kernel.js";
import { slidingWindowKernel } from "../../algorithms/sliding-window/kernel.js";
import { fixedWindow } from "../../index.js";
import { runs } from "../../../test/support/runs.js";
import { Arena, type Table } from "./arena.js";

const kernels = [
  bucketKernel,
  slidingWindowKernel,
  slidingLogKernel,
  ruleOf(fixedWindow({ limit: 1, window: 1 })).kernel,
] as unknown as readonly Kernel[];

const tableOf = (kernel: Kernel): Table => ({
  name: kernel.tag,
  kernel,
  slots: new Map(),
  byWallClock: false,
  lone: [
    {
      kernel,
      params: { capacity: 0 },
      state: kernel.fresh(),
      slot: -1,
      storedExpiryMs: 0,
      rawUs: 0,
      nowUs: 0,
      cost: 0,
      asked: 0,
      reason: 0,
      available: 0,
      waitUs: 0,
      resetUs: 0,
    },
  ],
});

/** A state with a number of its own in every field. */
function stateOf(kernel: Kernel, seed: number): State {
  const state = kernel.fresh() as State & Record<string, unknown>;
  for (const [i, field] of Object.keys(state).entries()) {
    if (typeof state[field] === "number") state[field] = seed * 100 + i + 1;
  }
  return state;
}

describe("the arena", () => {
  test("keeps every row as it was saved, whatever else is allocated, saved and freed", () => {
    const operations = fc.array(
      fc.record({
        kind: fc.constantFrom("allocate", "allocate", "save", "free"),
        which: fc.nat(1000),
        kernel: fc.nat(kernels.length - 1),
        seed: fc.nat(1e9),
        isBlocked: fc.boolean(),
        isIndebted: fc.boolean(),
      }),
      { maxLength: 200, size: "max" },
    );
    fc.assert(
      fc.property(operations, (list) => {
        const arena = new Arena();
        const tables = kernels.map(tableOf);
        const model = new Map<
          number,
          { table: Table; id: string; state: State; isIndebted: boolean }
        >();
        list.forEach(({ kind, which, kernel, seed, isBlocked, isIndebted }, i) => {
          const slots = [...model.keys()];
          const slot = slots[which % Math.max(1, slots.length)];
          if (kind === "allocate") {
            const table = tables[kernel] as Table;
            const state = {
              ...stateOf(table.kernel, seed),
              ...(!isBlocked && { blockedUntilUs: 0 }),
            };
            const added = arena.allocate(table, `id:${i}`);
            expect(model.has(added)).toBe(false);
            arena.save(added, state, table.kernel, isIndebted);
            model.set(added, { table, id: `id:${i}`, state, isIndebted });
          } else if (slot !== undefined && kind === "free") {
            arena.free(slot);
            model.delete(slot);
          } else if (slot !== undefined) {
            const entry = model.get(slot) as { table: Table; id: string };
            const state = stateOf(entry.table.kernel, seed);
            arena.save(slot, state, entry.table.kernel, isIndebted);
            model.set(slot, { ...entry, state, isIndebted });
          }
          expect(arena.size).toBe(model.size);
        });
        for (const [slot, { table, id, state, isIndebted }] of model) {
          const loaded = table.kernel.fresh();
          arena.load(slot, loaded, table.kernel);
          expect(loaded).toEqual(state);
          expect(table.slots.get(id)).toBe(slot);
          expect(arena.expiresAtUs(slot)).toBe(state.expiryMs * 1e3);
          const before = Math.min(state.blockedUntilUs || 1, state.expiryMs * 1e3) - 1;
          expect(arena.isProtected(slot, before)).toBe(isIndebted || state.blockedUntilUs > 0);
          expect(arena.isProtected(slot, state.expiryMs * 1e3)).toBe(false);
        }
        const ids = tables.flatMap(({ slots }) => [...slots.keys()]);
        expect(ids.sort()).toEqual([...model.values()].map(({ id }) => id).sort());
      }),
      { numRuns: runs(200) },
    );
  });

  test("grows past a chunk", () => {
    const arena = new Arena();
    const table = tableOf(kernels[0] as Kernel);
    for (let i = 0; i < 10_000; i++) {
      arena.save(arena.allocate(table, `id:${i}`), stateOf(table.kernel, i), table.kernel, false);
    }
    const loaded = table.kernel.fresh();
    for (const i of [0, 511, 512, 4095, 4096, 8191, 8192, 9999]) {
      arena.load(table.slots.get(`id:${i}`) as number, loaded, table.kernel);
      expect(loaded).toEqual(stateOf(table.kernel, i));
    }
  });

  test("gives a freed row to the next key, without what it held beside the row", () => {
    const arena = new Arena();
    const [bucket, , log] = kernels.map(tableOf) as [Table, Table, Table, Table];
    const slot = arena.allocate(log, "a");
    arena.save(slot, { ...stateOf(log.kernel, 1), blockedUntilUs: 5 }, log.kernel, true);
    arena.free(slot);
    expect(arena.allocate(bucket, "b")).toBe(slot);
    const state = { ...stateOf(bucket.kernel, 2), blockedUntilUs: 0 };
    arena.save(slot, state, bucket.kernel, false);
    const loaded = bucket.kernel.fresh();
    arena.load(slot, loaded, bucket.kernel);
    expect(loaded).toEqual(state);
    expect(arena.isProtected(slot, 0)).toBe(false);
    expect(log.slots.size).toBe(0);
  });
});
