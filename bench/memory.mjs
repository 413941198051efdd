/** Limiters that keep state in the process: throughput, and heap a key. */
import { memoryContenders, NOTES, REFERENCE } from "./contenders/index.mjs";
import { perform } from "./fork.mjs";
import { interleave } from "./rounds.mjs";
import { ratios, spread } from "./statistics.mjs";
import { factorSpread, table, wholeSpread } from "./table.mjs";

/**
 * @typedef {object} Row one contender
 * @property {string} contender
 * @property {number[]} callsPerSecond one a round
 * @property {number[]} heapBytesPerKey one a round
 * @property {number} rounds
 * @property {number} allowed part of the calls, in the worst round
 */

/** Heap moves little from run to run. */
const HEAP_ROUNDS = 3;

/**
 * @param {import("./rounds.mjs").Schedule} schedule
 * @returns {Promise<Row[]>}
 */
export async function measureMemory(schedule) {
  const { ms, rounds, say } = schedule;
  const contenders = Object.keys(memoryContenders);
  const speeds = await interleave(schedule, contenders, (contender, seed) =>
    perform({ kind: "memory", contender, seed, ms }),
  );
  const heaps = await interleave(
    { ...schedule, rounds: Math.min(rounds, HEAP_ROUNDS), say: (line) => say(`heap: ${line}`) },
    contenders,
    (contender) => perform({ kind: "heap", contender }),
  );
  return contenders.map((contender, i) => ({
    contender,
    callsPerSecond: (speeds[i] ?? []).map(({ callsPerSecond }) => callsPerSecond),
    heapBytesPerKey: (heaps[i] ?? []).map(({ bytesPerKey }) => bytesPerKey),
    rounds: speeds[i]?.length ?? 0,
    allowed: Math.min(...(speeds[i] ?? []).map(({ allowed }) => allowed)),
  }));
}

/** @param {readonly Row[]} rows */
export function showMemory(rows) {
  const reference = rows.find(({ contender }) => contender === REFERENCE);
  const cells = rows.map(({ contender, callsPerSecond, heapBytesPerKey }) => [
    contender,
    wholeSpread(spread(callsPerSecond)),
    factorSpread(ratios(callsPerSecond, reference?.callsPerSecond ?? [])),
    wholeSpread(spread(heapBytesPerKey)),
    factorSpread(ratios(heapBytesPerKey, reference?.heapBytesPerKey ?? [])),
  ]);
  const head = ["in memory", "calls/s", "× reference", "heap bytes/key", "× reference"];
  return [table(head, cells), "", ...NOTES.memory.map((note) => `- ${note}`)].join("\n");
}

/** Ratios alone: absolute figures say more about a machine. @param {readonly Row[]} rows */
export function showMemoryRatios(rows) {
  const reference = rows.find(({ contender }) => contender === REFERENCE);
  const cells = rows
    .filter((row) => row !== reference)
    .map(({ contender, callsPerSecond, heapBytesPerKey }) => [
      contender,
      factorSpread(ratios(callsPerSecond, reference?.callsPerSecond ?? [])),
      factorSpread(ratios(heapBytesPerKey, reference?.heapBytesPerKey ?? [])),
    ]);
  return table([`in memory, × ${REFERENCE}`, "calls/s", "heap a key"], cells);
}
