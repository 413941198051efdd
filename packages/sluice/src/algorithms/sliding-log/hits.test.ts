import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../../../test/support/runs.js";
import { ArrayHitLog } from "./hits.js";

test("a log answers by sequence number, however it was pruned", () => {
  const operations = fc.array(
    fc.record({ kind: fc.constantFrom("add", "add", "replace", "drop", "copy"), size: fc.nat(5) }),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(operations, fc.nat(1000), (list, start) => {
      let log = new ArrayHitLog();
      const model = new Map<number, readonly [number, number]>();
      let [first, next] = [start, start];
      list.forEach(({ kind, size }, i) => {
        if (kind === "add" || (kind === "replace" && next === first)) {
          log.set(next, i, i * 2);
          model.set(next, [i, i * 2]);
          next += 1;
        } else if (kind === "replace") {
          log.set(next - 1, i, i * 3);
          model.set(next - 1, [i, i * 3]);
        } else if (kind === "drop") {
          const to = Math.min(next, first + size);
          if (to > first) log.drop(first, to);
          for (let seq = first; seq < to; seq++) model.delete(seq);
          first = to;
        } else {
          log = log.copy() as ArrayHitLog;
        }
        for (const [seq, [at, sum]] of model) {
          expect(log.at(seq)).toBe(at);
          expect(log.sum(seq)).toBe(sum);
        }
      });
    }),
    { numRuns: runs(100) },
  );
});
