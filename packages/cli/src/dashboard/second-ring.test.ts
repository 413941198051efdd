import { expect, test } from "vitest";
import { SecondRing } from "./second-ring.js";
import type { Second } from "./wire.js";

const none = { asked: 0, allowed: 0, denied: 0, near: 0, withoutStore: 0, shadowDenied: 0 };
const second = (fromMs: number): Second => ({ ...none, fromMs, spanMs: 1000 });

test("a page gets what it has not, or all where its number is not of this ring", () => {
  const ring = new SecondRing(5000.7);
  for (let i = 0; i < 3; i++) ring.add(second(i * 1000));
  expect(ring.since(undefined)).toMatchObject({ next: 5003, isContinued: false });
  expect(ring.since(5001)).toMatchObject({
    isContinued: true,
    seconds: [{ fromMs: 1000 }, { fromMs: 2000 }],
  });
  expect(ring.since(5003)).toEqual({ next: 5003, isContinued: true, seconds: [] });
  for (const foreign of [4999, 5004, 0]) {
    expect(ring.since(foreign)).toMatchObject({ isContinued: false, seconds: { length: 3 } });
  }
});

test("seconds older than a quarter of an hour go, and so does a number among them", () => {
  const ring = new SecondRing(0);
  for (let i = 0; i <= 1000; i++) ring.add(second(i * 1000));
  const { seconds, next } = ring.since(undefined);
  expect([seconds.length, seconds[0]?.fromMs, next]).toEqual([900, 101_000, 1001]);
  expect(ring.since(100).isContinued).toBe(false);
  expect(ring.since(101).isContinued).toBe(true);
});

test("a clock that was set back fills no memory", () => {
  const ring = new SecondRing(0);
  for (let i = 0; i < 3000; i++) ring.add(second(0));
  expect(ring.since(undefined).seconds).toHaveLength(1000);
});
