/** What this process remembers of servers' wishes. */
import { expect, test } from "vitest";
import { Pauses } from "./pauses.js";

test("a pause lasts as long as was asked, and a shorter one changes nothing", () => {
  let nowMs = 0;
  const pauses = new Pauses(() => nowMs);
  expect(pauses.leftMs("a")).toBe(0);
  expect(pauses.extend("a", 100)).toBe(true);
  expect(pauses.extend("a", 60)).toBe(false);
  nowMs = 70;
  expect(pauses.leftMs("a")).toBe(30);
  expect(pauses.leftMs("b")).toBe(0);
  expect(pauses.extend("a", 31)).toBe(true);
  nowMs = 101;
  expect(pauses.leftMs("a")).toBe(0);
  expect(pauses.size).toBe(0);
});

test("no flood of keys makes it grow without bound, and what is over goes", () => {
  let nowMs = 0;
  const pauses = new Pauses(() => nowMs);
  for (let i = 0; i < 25_000; i += 1) pauses.extend(`short ${i}`, 10);
  expect(pauses.size).toBe(10_000);
  expect(pauses.leftMs("short 24999")).toBe(10);
  expect(pauses.leftMs("short 0")).toBe(0);
  nowMs = 20;
  for (let i = 0; i < 10_000; i += 1) pauses.extend(`long ${i}`, 1000);
  expect(pauses.size).toBe(10_000);
  for (let i = 0; i < 10_000; i += 1) expect(pauses.leftMs(`long ${i}`)).toBe(1000);
});

/** If each new key looked at all others, 100,000 of them would read the clock a billion times. */
test("a new key costs the same however many there are", () => {
  let reads = 0;
  const pauses = new Pauses(() => {
    reads += 1;
    return 0;
  });
  const costOf = (key: string): number => {
    const before = reads;
    pauses.extend(key, 1000);
    return reads - before;
  };
  const costs = Array.from({ length: 100_000 }, (_, i) => costOf(`key ${i}`));
  expect(Math.max(...costs.slice(0, 1000))).toBe(Math.max(...costs.slice(50_000, 60_000)));
  expect(reads).toBeLessThan(500_000);
});

test("a key that is paused for longer stays, whatever others come and go", () => {
  let nowMs = 0;
  const pauses = new Pauses(() => nowMs);
  pauses.extend("long", 1e6);
  for (let i = 0; i < 50_000; i += 1) {
    nowMs += 1;
    pauses.extend(`short ${i}`, 100);
  }
  expect(pauses.leftMs("long")).toBe(1e6 - nowMs);
  expect(pauses.size).toBeLessThan(1000);
});
