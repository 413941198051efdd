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

test("no flood of keys makes it grow without bound", () => {
  let nowMs = 0;
  const pauses = new Pauses(() => nowMs);
  for (let i = 0; i < 10_000; i += 1) pauses.extend(`short ${i}`, 10);
  nowMs = 20;
  pauses.extend("next", 10);
  expect(pauses.size).toBe(1);
  for (let i = 0; i < 25_000; i += 1) pauses.extend(`long ${i}`, 1000);
  expect(pauses.size).toBe(10_000);
  expect(pauses.leftMs("long 24999")).toBe(1000);
});
