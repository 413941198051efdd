import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bucketKernel } from "../../algorithms/bucket/kernel.js";
import type { Kernel, State } from "../../algorithms/kernel.js";
import { ruleOf } from "../../algorithms/rule.js";
import { slidingLogKernel } from "../../algorithms/sliding-log/kernel.js";
import { slidingWindowKernel } from "../../algorithms/sliding-window/kernel.js";
import { fixedWindow } from "../../index.js";
import { runs } from "../../../test/support/runs.js";
import { Arena, type Table, tableOf } from "./arena.js";
import { SlotLinks } from "./expiry-ring.js";

const kernels = [
  bucketKernel,
  slidingWindowKernel,
  slidingLogKernel,
  ruleOf(fixedWindow({ limit: 1, window: 1 })).kernel,
] as unknown as readonly Kernel[];

const links = new SlotLinks();
const newTable = (kernel: Kernel): Table => tableOf(kernel.tag, kernel, links);
const newArena = (): Arena => new Arena({ maxBytes: 1e9, usedBytes: 0 });

/** A state with a different number in every field. */
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
        isHeld: fc.boolean(),
      }),
      { maxLength: 200, size: "max" },
    );
    fc.assert(
      fc.property(operations, (list) => {
        const arena = newArena();
        const tables = kernels.map(newTable);
        const model = new Map<
          number,
          { table: Table; id: string; state: State; isHeld: boolean }
        >();
        list.forEach(({ kind, which, kernel, seed, isBlocked, isHeld }, i) => {
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
            arena.save(added, state, table.kernel, isHeld ? seed + 1 : 0);
            model.set(added, { table, id: `id:${i}`, state, isHeld });
          } else if (slot !== undefined && kind === "free") {
            arena.free(slot);
            model.delete(slot);
          } else if (slot !== undefined) {
            const entry = model.get(slot) as { table: Table; id: string };
            const state = stateOf(entry.table.kernel, seed);
            arena.save(slot, state, entry.table.kernel, isHeld ? seed + 1 : 0);
            model.set(slot, { ...entry, state, isHeld });
          }
          expect(arena.size).toBe(model.size);
        });
        for (const [slot, { table, id, state, isHeld }] of model) {
          const loaded = table.kernel.fresh();
          arena.load(slot, loaded, table.kernel);
          expect(loaded).toEqual(state);
          expect(table.slots.get(id)).toBe(slot);
          expect(arena.expiresAtUs(slot)).toBe(state.expiryMs * 1e3);
          expect(arena.isHeld(slot)).toBe(isHeld);
          expect(arena.heldUntilUs(slot) > 0).toBe(isHeld);
        }
        const ids = tables.flatMap(({ slots }) => [...slots.keys()]);
        expect(ids.sort()).toEqual([...model.values()].map(({ id }) => id).sort());
      }),
      { numRuns: runs(200) },
    );
  });

  test("grows past a chunk", () => {
    const arena = newArena();
    const table = newTable(kernels[0] as Kernel);
    for (let i = 0; i < 10_000; i++) {
      arena.save(arena.allocate(table, `id:${i}`), stateOf(table.kernel, i), table.kernel, 0);
    }
    const loaded = table.kernel.fresh();
    for (const i of [0, 511, 512, 4095, 4096, 8191, 8192, 9999]) {
      arena.load(table.slots.get(`id:${i}`) as number, loaded, table.kernel);
      expect(loaded).toEqual(stateOf(table.kernel, i));
    }
  });

  test("gives a freed row to the next key, without what it held beside the row", () => {
    const arena = newArena();
    const [bucket, , log] = kernels.map(newTable) as [Table, Table, Table, Table];
    const slot = arena.allocate(log, "a");
    arena.save(slot, { ...stateOf(log.kernel, 1), blockedUntilUs: 5 }, log.kernel, 7);
    arena.free(slot);
    expect(arena.allocate(bucket, "b")).toBe(slot);
    const state = { ...stateOf(bucket.kernel, 2), blockedUntilUs: 0 };
    arena.save(slot, state, bucket.kernel, 0);
    const loaded = bucket.kernel.fresh();
    arena.load(slot, loaded, bucket.kernel);
    expect(loaded).toEqual(state);
    expect(arena.isHeld(slot)).toBe(false);
    expect(log.slots.size).toBe(0);
  });
});
