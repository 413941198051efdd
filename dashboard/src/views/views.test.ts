/** What each view shows of a state, and does when it is used: drawn in Node, so that a wrong word or sign is found at once. */
import { h } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  BUSY,
  MANY,
  NOW_MS,
  READ_ONLY,
  STALE,
} from "../../../packages/cli/test/stress/dashboard/states.js";
import { connection, seconds, state } from "../data/model.js";
import { change, draw, erase, type FakeNode, fakeDocument } from "../testing/fake-dom.js";
import { App } from "./app.js";
import { Changes, Lines } from "./changes.js";
import { Chart } from "./chart.js";
import { Denied } from "./denied.js";
import { Header } from "./header.js";
import { Rules } from "./rules.js";
import { Semaphores, Stores } from "./stores.js";
import { Totals } from "./totals.js";

const cellsOf = (row: FakeNode | undefined): readonly string[] =>
  (row?.childNodes ?? []).map(({ textContent }) => textContent);
const rowsOf = (root: FakeNode): readonly FakeNode[] => root.one("tbody").all("tr");

function show(shown: typeof BUSY): void {
  state.value = shown;
  seconds.value = shown.seconds;
  connection.value = { kind: "live" };
}

beforeEach(() => {
  vi.stubGlobal("document", fakeDocument);
  vi.stubGlobal("window", globalThis);
  vi.stubEnv("TZ", "UTC");
  vi.spyOn(Date, "now").mockReturnValue(NOW_MS);
  show(BUSY);
});

afterEach(async () => {
  await erase();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
});

test("the totals have a rate, a share of what was asked, and a sum", async () => {
  const even = BUSY.seconds.map((each) => ({ ...each, asked: 100, allowed: 75, denied: 25 }));
  show({ ...BUSY, seconds: even });
  const root = await draw(h(Totals, {}));
  const [, allowed, denied] = root.one("dl").childNodes.map(({ textContent }) => textContent);
  expect(allowed).toBe("Allowed75/s75 % of asked, last 10 s67,500 in 15 min");
  expect(denied).toBe("Denied25/s25 % of asked, last 10 s22,500 in 15 min");
  const spoken = () => root.all("p", "sr")[0]?.textContent;
  expect(spoken()).toBe("A second: 100 asked, 75 allowed, 25 denied, 25 %.");
  await change(() => {
    seconds.value = even.map((each) => ({ ...each, denied: 50, allowed: 50 }));
  });
  // A screen reader would never come to an end.
  expect(spoken()).toContain("25 denied");
});

test("the chart draws rates, shades what lies in its window, and marks changes of the rules", async () => {
  const span = { spanMs: 2000, near: 0, withoutStore: 0, shadowDenied: 0 };
  const one = { ...span, fromMs: NOW_MS - 2000, asked: 100, allowed: 40, denied: 60 };
  show({ ...BUSY, seconds: [one] });
  const root = await draw(h(Chart, {}));
  const slider = root.all("div", "plots")[0];
  await change(() => slider?.fire("mousemove", { clientX: 999 }));
  expect(slider?.attributes.get("aria-valuetext")).toBe(
    "14:04:58: allowed 20/s, denied 30/s, near 0/s, without the store 0/s",
  );
  await change(() => slider?.fire("mouseleave"));
  expect(slider?.attributes.get("aria-valuetext")).toMatch(/^Point at the chart/);
  await change(() => slider?.fire("mousemove", { clientX: 1 }));
  expect(slider?.attributes.get("aria-valuetext")).toBe("14:03:00: nothing known");
  expect(slider?.attributes.get("aria-valuenow")).toBe("0");
  await change(() => slider?.fire("keydown", { key: "ArrowLeft" }));
  expect(slider?.attributes.get("aria-valuenow")).toBe("0");
  await change(() => slider?.fire("keydown", { key: "ArrowRight" }));
  expect(slider?.attributes.get("aria-valuenow")).toBe("2");
  await change(() => slider?.fire("keydown", { key: "End" }));
  await change(() => slider?.fire("keydown", { key: "ArrowRight" }));
  expect(slider?.attributes.get("aria-valuenow")).toBe("120");
});

test("the chart has the outages and the changes of its window, to its end if they last", async () => {
  show(STALE);
  const root = await draw(h(Chart, {}));
  const plot = root.all("div", "plot")[0];
  const shades = plot?.all("rect", "outage").map(({ attributes }) => attributes) ?? [];
  const ends = shades.map((each) => Number(each.get("x")) + Number(each.get("width")));
  // One lasts, one ended 10.5 minutes ago; the third ended before the window.
  expect(shades.map((each) => Math.round(Number(each.get("x"))))).toEqual([894, 267]);
  expect(ends.map(Math.round)).toEqual([1000, 300]);
  // Of three within 15 minutes and before: the policies' alone, at 3 minutes.
  expect(plot?.all("path", "change").map(({ attributes }) => attributes.get("d"))).toEqual([
    "M800 0V110",
  ]);
  const details = root.one("details");
  await change(() => {
    Object.assign(details, { open: true });
    details.fire("toggle");
  });
  const minutes = rowsOf(root).map(cellsOf);
  expect(minutes[0]?.[0]).toBe("14:04");
  expect(minutes.find((cells) => cells.at(-1)?.includes("rule login"))?.[0]).toBe("14:02");
  expect(minutes.find((cells) => cells.at(-1)?.includes("outage 13:54"))?.[0]).toBe("13:54");
});

test("a marker is for a version of the rules, an override or the switch, and for no block", async () => {
  const [policies, , override, block] = BUSY.changes;
  const recent = [policies, override, block].flatMap((each) =>
    each ? [{ ...each, atMs: NOW_MS - 60_000 }] : [],
  );
  show({ ...BUSY, changes: recent });
  const root = await draw(h(Chart, {}));
  expect(root.all("div", "plot")[0]?.all("path", "change")).toHaveLength(2);
});

test("a rule has its rates, its share as a number and as a gauge, and its keys", async () => {
  const root = await draw(h(Rules, {}));
  const rows = rowsOf(root);
  expect(rows.map((row) => row.one("button").textContent.split(":")[0])).toEqual([
    "api",
    "search",
    "login",
    "export",
    "legacy",
  ]);
  expect(cellsOf(rows[0]).slice(1)).toEqual([
    "100 per 1 min, burst 200",
    "enforce",
    "9.1k",
    "290",
    "3.2 %",
    "71",
    "50 per 1 min, burst 50: would deny 140/s",
    "≥ 212",
  ]);
  expect(rows[0]?.all("span", "gauge")[0]?.firstChild?.style["width"]).toMatch(/^3\.18\d*%$/);
  expect(cellsOf(rows[1]).at(-1)).toBe("8");
  expect(cellsOf(rows[2])[2]).toBe("shadow 25 % of keys");
  expect(cellsOf(rows[0])[2]).not.toContain("%");
});

test("ten thousand rules are fifty rows, and fifty more at each request", async () => {
  show(MANY);
  const root = await draw(h(Rules, {}));
  expect(rowsOf(root)).toHaveLength(50);
  await change(() => root.one("button", "Show 50 more").fire("click"));
  expect(rowsOf(root)).toHaveLength(100);
});

test("rows stay while a visitor is among them, and are sorted again afterwards", async () => {
  const root = await draw(h(Denied, {}));
  const labels = () => rowsOf(root).map((row) => row.one("button").firstChild?.textContent);
  expect(labels()).toEqual(["acme", "initech", "k3Jd82LmPq0aTzX5vB7nYw", "10.20.30.40"]);
  const turned = { ...BUSY, topDenied: BUSY.topDenied.toReversed() };
  root.one("tbody").isVisited = true;
  await change(() => show(turned));
  expect(labels()[0]).toBe("acme");
  root.one("tbody").isVisited = false;
  await change(() => show({ ...turned, name: "later" }));
  expect(labels()[0]).toBe("10.20.30.40");
});

test("a visitor who orders the rules gets the order, though among them", async () => {
  const root = await draw(h(Rules, {}));
  root.one("tbody").isVisited = true;
  const choice = root.one("select");
  choice.value = "name";
  await change(() => choice.fire("change"));
  expect(rowsOf(root).map((row) => row.one("button").textContent.split(":")[0])[1]).toBe("export");
});

test("denied keys say their range, and have buttons if their rule can be changed", async () => {
  const [api, login] = BUSY.rules;
  if (api === undefined || login === undefined) throw new Error("no rules");
  show({ ...BUSY, rules: [{ ...api, fields: undefined }, login] });
  const root = await draw(h(Denied, {}));
  const rows = rowsOf(root);
  expect(rows.map((row) => cellsOf(row)[2])).toEqual(["1,204", "311–340", "57", "9"]);
  // `api` is a limiter beside the document; `search` is not known here.
  expect(rows.map((row) => row.all("button").length)).toEqual([1, 1, 5, 5]);
  show(MANY);
  const many = await draw(h(Denied, {}));
  expect(rowsOf(many)).toHaveLength(10);
});

test("a reader sees what was denied and changed, and has nothing to change it with", async () => {
  show(READ_ONLY);
  const denied = await draw(h(Denied, {}));
  expect(rowsOf(denied).map((row) => row.all("button").length)).toEqual([1, 1, 1, 1]);
  const changes = await draw(h(Changes, {}));
  expect(changes.all("button").map(({ textContent }) => textContent)).toEqual([
    "Diff version 42",
    "Diff version 41",
    "Diff version 40",
  ]);
});

test("of changes ten are shown at first, with who, what and why as text", async () => {
  const [first] = BUSY.changes;
  const many = Array.from({ length: 12 }, (_, i) => ({ ...first, id: `c${i}` }));
  show({ ...BUSY, changes: many as typeof BUSY.changes });
  const root = await draw(h(Changes, {}));
  expect(root.one("ol").all("li")).toHaveLength(10);
  expect(root.one("li").one("p").textContent).toBe(
    "14:02:00 ana published version 42: rule login (5 in any 15 min)halve login",
  );
  expect(root.one("q").textContent).toBe("halve login");
});

test("what was added is marked as added, and what was removed as removed", async () => {
  const root = await draw(h(Lines, { lines: ["  a", "- b", "+ c"] }));
  expect(
    root
      .one("pre")
      .all("span")
      .map(({ classes }) => classes[0]),
  ).toEqual(["", "minus", "plus"]);
});

test("a store says what each part's breaker does, and from when to when it was away", async () => {
  show(STALE);
  const root = await draw(h(Stores, {}));
  expect(
    root
      .all("ul", "breakers")[0]
      ?.all("span")
      .map(({ classes }) => classes[0]),
  ).toEqual(["bad", "bad", "well"]);
  expect(
    root
      .all("ul", "outages")[0]
      ?.all("li")
      .map(({ textContent }) => textContent),
  ).toEqual([
    "14:03:25 lasts for 1 min 35 s, callers are answered “local”",
    "13:54:00 to 13:54:30 (30 s), 27,000 calls were answered “local”",
    "12:05:00 to 12:05:05 (5 s), 811 calls were answered “open”",
  ]);
});

test("a semaphore has what is held of how many, who waits, and what was lost", async () => {
  const root = await draw(h(Semaphores, {}));
  expect(rowsOf(root).map((row) => cellsOf(row))).toEqual([
    ["reports: list the permits of a key", "17 of 20", "3", "0"],
    ["mail", "1 of 4", "0", "2"],
  ]);
  const [reports] = BUSY.semaphores;
  if (reports === undefined) throw new Error("no semaphore");
  show({ ...BUSY, semaphores: [{ ...reports, held: undefined }] });
  const lent = await draw(h(Semaphores, {}));
  expect(cellsOf(rowsOf(lent)[0] as never)[1]).toBe("by clients of 20");
});

test("the head says whose numbers these are, and the worst of all stores", async () => {
  const [store] = BUSY.stores;
  if (store === undefined) throw new Error("no store");
  const two = { ...BUSY, stores: [store, { ...store, name: "other", p99Ms: 12 }] };
  const facts = async (shown: typeof BUSY) =>
    (await draw(h(Header, { state: shown }))).all("p", "facts")[0]?.textContent;
  expect(await facts(two)).toBe("version 423 processes, store rediswell, 12 ms p99");
  expect(await facts(STALE)).toBe(
    "version 422 processes, 1 silent, store redis2 parts failing2 gaps in the counts",
  );
});

test("old numbers are shown with their age and the reason; a screen reader reads it once, not each second", async () => {
  const root = await draw(h(App, {}));
  const seen = () =>
    root
      .all("div", "warnings")[0]
      ?.all("p")
      .map((each) => each.textContent);
  const told = () => root.one("main").one("p").textContent;
  expect([seen(), told()]).toEqual([undefined, ""]);
  await change(() => show(STALE));
  expect(seen()).toEqual([
    "The numbers of other processes are 1 min 35 s old: connect ECONNREFUSED",
    "The document has not been read for 1 min 35 s; the last one stays in force: connect ECONNREFUSED",
    "These rules are not published in the store: a change here holds in this process alone.",
  ]);
  const first = told();
  expect(first).toMatch(
    /^The numbers of other processes are old: connect ECONNREFUSED The document/,
  );
  vi.spyOn(Date, "now").mockReturnValue(NOW_MS + 1000);
  const stale = { why: "connect ECONNREFUSED", forMs: 96_000 };
  await change(() => show({ ...STALE, policies: { ...STALE.policies, stale } }));
  expect(seen()?.[0]).toContain("1 min 36 s old");
  expect(told()).toBe(first);
  await change(() => {
    show({ ...BUSY, nowMs: NOW_MS - 5000 });
    connection.value = { kind: "failing", why: "The server does not answer.", failures: 2 };
  });
  expect(seen()).toEqual([
    "These numbers are 6 s old, and are asked for again. The server does not answer.",
  ]);
  expect(told()).toBe("The server does not answer. What is shown is old.");
});

test("parts that fail at one moment are each an outage, and gone when they are", async () => {
  const [store] = BUSY.stores;
  if (store === undefined) throw new Error("no store");
  const outage = { fromMs: NOW_MS - 5000, toMs: NOW_MS, answered: "local", calls: 1 };
  const of = (outages: readonly (typeof outage)[]) => ({
    ...BUSY,
    stores: [{ ...store, outages }],
  });
  show(of([outage, { ...outage, calls: 2 }, { ...outage, calls: 3 }]));
  const root = await draw(h(Stores, {}));
  const calls = () =>
    root
      .one("ul", "14")
      .all("li")
      .map(({ textContent }) => /, (.*) answ/.exec(textContent)?.[1]);
  expect(calls()).toEqual(["1 call was", "2 calls were", "3 calls were"]);
  await change(() => show(of([{ ...outage, calls: 3 }, outage])));
  expect(calls()).toEqual(["3 calls were", "1 call was"]);
});
