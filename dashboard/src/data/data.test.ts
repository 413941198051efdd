/** What the page itself works out: numbers as text, entries, seconds put together, rows in order, lines of the chart. */
import { expect, test } from "vitest";
import type { RuleState, Second } from "../../../packages/cli/src/dashboard/wire.js";
import { pollDelayMs } from "./delay.js";
import { parseEntries, printEntries } from "./entries.js";
import { clock, counted, duration, latency, moment, rate, share, size } from "./format.js";
import { held } from "./held.js";
import { linePath, niceTop } from "./path.js";
import { keepOrder, orderRules } from "./rows.js";
import {
  coveredMs,
  meanOf,
  mergeSeconds,
  minutesOf,
  sumOf,
  WINDOW_MS,
  windowOf,
} from "./series.js";

test.each([
  [0, "0"],
  [0.04, "<0.1"],
  [0.05, "0.1"],
  [3.24, "3.2"],
  [9.96, "10"],
  [310.4, "310"],
  [999.4, "999"],
  [999.6, "1k"],
  [12_449, "12.4k"],
  [3_200_000, "3.2M"],
])("a rate of %d is %s", (value, text) => {
  expect(rate(value)).toBe(text);
});

test.each([
  [0, 0, "0 %"],
  [1, 0, "0 %"],
  [1, 10_000, "<0.1 %"],
  [310, 12_710, "2.4 %"],
  [9999, 10_000, "99.9 %"],
  [5, 5, "100 %"],
])("%d of %d is %s", (part, whole, text) => {
  expect(share(part, whole)).toBe(text);
});

test.each([
  [0, "0 ms"],
  [999, "999 ms"],
  [999.6, "1 s"],
  [1200, "1.2 s"],
  [9999, "10 s"],
  [59_600, "1 min"],
  [200_000, "3 min 20 s"],
  [3_600_000, "1 h"],
  [187_200_000, "2 d 4 h"],
])("%d ms are %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test("latencies and counts have their unit", () => {
  expect([latency(undefined), latency(0.42), latency(12.4), latency(999.7), latency(1500)]).toEqual(
    ["–", "0.4 ms", "12 ms", "1 s", "1.5 s"],
  );
  expect([counted(1, "key"), counted(1204, "key")]).toEqual(["1 key", "1,204 keys"]);
});

test.each([
  [0, "0 B"],
  [812, "812 B"],
  [4250, "4.3 kB"],
  [999_600, "1 MB"],
  [1_300_000, "1.3 MB"],
  [2.5e12, "2500 GB"],
])("%d bytes are %s", (bytes, text) => {
  expect(size(bytes)).toBe(text);
});

test("entries are read as rules' keys spell them, and written so that they are read again", () => {
  expect(parseEntries(" user=acme , route=/v1?a=b ")).toEqual({ user: "acme", route: "/v1?a=b" });
  expect(parseEntries("user=a%2Cb%2a,share=50%,empty=")).toEqual({
    user: "a,b*",
    share: "50%",
    empty: "",
  });
  expect(parseEntries("")).toEqual({});
  for (const entries of [{ user: "50%25,=*" }, { "a=b": "c", d: "%2C" }, {}]) {
    expect(parseEntries(printEntries(entries))).toEqual(entries);
  }
});

test.each(["acme", "=acme", "user=a,acme"])("%s is refused with what is missing", (text) => {
  expect(() => parseEntries(text)).toThrow("is not name=value");
});

test("an entry that is there twice is refused", () => {
  expect(() => parseEntries("user=a,user=b")).toThrow("“user” is there twice");
});

const NONE = { asked: 0, allowed: 0, denied: 0, near: 0, withoutStore: 0, shadowDenied: 0 };
const second = (fromMs: number, asked: number, spanMs = 1000): Second => ({
  ...NONE,
  fromMs,
  spanMs,
  asked,
});

test("seconds that come again replace themselves, and those older than the window go", () => {
  const nowMs = WINDOW_MS + 3000;
  const had = [second(1000, 1), second(nowMs - 2000, 2), second(nowMs - 1000, 3)];
  const seconds = [second(nowMs - 1000, 4), second(nowMs, 5)];
  const merged = mergeSeconds(had, { isContinued: true, seconds, nowMs });
  expect(merged.map(({ asked }) => asked)).toEqual([2, 4, 5]);
  expect(mergeSeconds(had, { isContinued: true, seconds: [], nowMs })).toEqual(had.slice(1));
  expect(mergeSeconds(had, { isContinued: false, seconds, nowMs })).toEqual(seconds);
});

test("a mean is by the time that was counted: less than the window, or one span longer than it", () => {
  const ten = Array.from({ length: 30 }, (_, i) => second(i * 1000, i < 20 ? 0 : 8));
  expect(meanOf(ten, 10_000)).toMatchObject({ perSecond: { asked: 8 }, spanMs: 10_000 });
  expect(meanOf(ten.slice(0, 3), 10_000).spanMs).toBe(3000);
  expect(meanOf([second(0, 120, 60_000)], 10_000)).toMatchObject({
    perSecond: { asked: 2 },
    spanMs: 60_000,
  });
  expect(meanOf([], 10_000)).toEqual({ perSecond: NONE, spanMs: 0 });
});

test.each([
  [[], 15],
  [[second(0, 0), second(880_000, 5), second(899_000, 5)], 2],
  [[second(0, 3, 60_000), second(60_000, 5, 60_000)], 2],
  [[second(0, 3, 60_000), second(60_000, 5, 61_000)], 5],
  [[second(0, 3), second(299_000, 0)], 5],
  [[second(0, 3), second(300_000, 0)], 15],
] as const)("the chart shows no more time than there is: %j in %d minutes", (seconds, minutes) => {
  expect(windowOf(seconds)).toBe(minutes * 60_000);
});

test.each([
  [[], 0],
  [[second(0, 0), second(19_000, 3)], 20_000],
  [[second(0, 0), second(896_000, 3)], 897_000],
  [[second(0, 0), second(898_000, 3)], WINDOW_MS],
  [[second(0, 0, 60_000), second(930_000, 3)], WINDOW_MS],
] as const)(
  "a sum is of the time that was counted, %j, and of no more than the window",
  (all, ms) => {
    expect(coveredMs(all)).toBe(ms);
  },
);

test("minutes are whole, the newest first, and lose nothing", () => {
  const seconds = Array.from({ length: 125 }, (_, i) => second(i * 1000, 1));
  expect(minutesOf(seconds).map(({ fromMs, asked }) => [fromMs, asked])).toEqual([
    [120_000, 5],
    [60_000, 60],
    [0, 60],
  ]);
  expect(sumOf(minutesOf(seconds))).toEqual(sumOf(seconds));
});

test("a sum has every count", () => {
  const one = { asked: 1, allowed: 2, denied: 3, near: 4, withoutStore: 5, shadowDenied: 6 };
  const two = { asked: 2, allowed: 4, denied: 6, near: 8, withoutStore: 10, shadowDenied: 12 };
  expect(sumOf([one, one])).toEqual(two);
});

test("a moment of another day has its date", () => {
  const at = new Date(2026, 10, 27, 14, 2, 11).getTime();
  expect(moment(at, at + 60_000)).toBe("14:02:11");
  expect(moment(at, at + 86_400_000)).toBe("2026-11-27 14:02:11");
  expect(clock(at)).toBe("14:02:11");
});

test("what was had stays until another comes, and an error ends the wait", async () => {
  const answer = held<string>();
  await answer.load(Promise.resolve("first"));
  const loading = answer.load(Promise.reject(new Error("gone")));
  expect([answer.value.value, answer.isBusy.value]).toEqual(["first", true]);
  expect(await loading).toBe(false);
  expect([answer.value.value, answer.isBusy.value]).toEqual(["first", false]);
  expect(answer.problem.value).toMatchObject({ status: 0, detail: "gone" });
  expect(await answer.load(Promise.resolve("second"))).toBe(true);
  expect([answer.value.value, answer.problem.value]).toEqual(["second", undefined]);
});

test("of two questions the last one's answer stays, whichever comes first", async () => {
  const answer = held<string>();
  let slow = (): void => {};
  const first = answer.load(
    new Promise((resolve) => {
      slow = () => resolve("first");
    }),
  );
  const failing = answer.load(Promise.reject(new Error("gone")));
  const last = answer.load(Promise.resolve("last"));
  expect(await Promise.all([failing, last])).toEqual([false, true]);
  slow();
  expect(await first).toBe(false);
  expect([answer.value.value, answer.problem.value]).toEqual(["last", undefined]);
  expect(answer.isBusy.value).toBe(false);
});

const rule = (name: string, asked: number, denied: number): RuleState => ({
  rule: name,
  limit: "5 a minute",
  fields: [
    { name: "limit", own: "5" },
    { name: "window", own: "1m" },
  ],
  mode: name === "c" ? "shadow" : "enforce",
  percent: 100,
  perSecond: { ...NONE, asked, denied },
  limitedKeys: { count: 0, isAtLeast: false },
  candidate: undefined,
});

test("rules are in the order that is asked for, equal ones by name, and filtered by what they show", () => {
  const rules = [rule("b", 10, 1), rule("c", 1, 1), rule("a", 5, 0)];
  const names = (...args: [order: "denied" | "share" | "asked" | "name", text: string]) =>
    orderRules(rules, ...args).map((each) => each.rule);
  expect(names("denied", "")).toEqual(["b", "c", "a"]);
  expect(names("share", "")).toEqual(["c", "b", "a"]);
  expect(names("asked", "")).toEqual(["b", "a", "c"]);
  expect(names("name", "")).toEqual(["a", "b", "c"]);
  expect(names("name", " SHADOW ")).toEqual(["c"]);
  expect(names("name", "5 a minute\n")).toEqual(["a", "b", "c"]);
});

test("rows keep their places, and new ones come after them", () => {
  expect(keepOrder(["x", "a", "b", "c"], ["c", "gone", "a", "b"], (row) => row)).toEqual([
    "c",
    "a",
    "b",
    "x",
  ]);
});

test("polls are a second from start to start, and ever rarer after failures", () => {
  expect([pollDelayMs(0, 100, 0), pollDelayMs(0, 5000, 0)]).toEqual([900, 250]);
  expect([pollDelayMs(1, 0, 0), pollDelayMs(1, 0, 1)]).toEqual([1000, 2000]);
  expect([pollDelayMs(50, 0, 0), pollDelayMs(50, 0, 1)]).toEqual([15_000, 30_000]);
});

test("a line goes through the middles, breaks at gaps, and stays in its box", () => {
  const box = { width: 100, height: 50, fromMs: 0, toMs: 10_000, top: 10 };
  const point = (atMs: number, value: number) => ({ atMs, spanMs: 1000, value });
  expect(linePath([point(0, 0), point(1000, 5), point(5000, 99)], box)).toBe(
    "M5 50h0L15 25M55 0h0",
  );
  expect(linePath([], box)).toBe("");
  expect([0, 0.2, 1, 1.2, 13_000, 99].map(niceTop)).toEqual([1, 0.2, 1, 1.5, 15_000, 100]);
});
