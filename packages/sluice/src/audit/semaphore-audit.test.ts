import { describe, expect, it, test } from "vitest";
import { auditSemaphore, type SemaphoreAuditReport } from "./semaphore-audit.js";
import { peekKind, readSemaphoreLogs } from "./semaphore-log.js";

const HEADER = '{"sluice":1,"semaphore":{"limit":2}}';

const sourceOf = (...lines: string[]): { name: string; open: () => AsyncIterable<string> } => ({
  name: "log",
  async *open() {
    // In pieces that do not end where lines do.
    const text = `${lines.join("\n")}\n`;
    for (let at = 0; at < text.length; at += 7) yield text.slice(at, at + 7);
  },
});

const granted = (fence: number, untilUs: number, more: object = {}): string =>
  JSON.stringify({
    key: "k",
    granted: fence,
    ticket: fence,
    weight: 1,
    atUs: fence,
    untilUs,
    ...more,
  });
const released = (fence: number, atUs: number): string =>
  JSON.stringify({ key: "k", released: fence, atUs });

async function auditOf(...lines: string[]): Promise<SemaphoreAuditReport> {
  return auditSemaphore(await readSemaphoreLogs([sourceOf(HEADER, ...lines)]));
}

describe("the audit of a semaphore", () => {
  it("passes permits that follow each other to the microsecond", async () => {
    const report = await auditOf(
      granted(10, 100),
      granted(20, 100),
      released(10, 30),
      granted(30, 200),
      granted(100, 200),
    );
    expect(report).toMatchObject({ passed: true, grants: 4, fromUs: 10, toUs: 200 });
    expect(report.keys[0]).toMatchObject({ most: 2, mostAtUs: 20, unreleased: 3 });
  });

  it("refutes one permit too many, and says when", async () => {
    const report = await auditOf(granted(10, 100), granted(20, 100), granted(99, 200));
    expect(report.passed).toBe(false);
    expect(report.keys[0]).toMatchObject({ most: 3, mostAtUs: 99, outOfOrder: undefined });
  });

  it("counts a weight, and a lease as long as it was renewed", async () => {
    const renewed = '{"key":"k","renewed":10,"atUs":90,"untilUs":300}';
    expect((await auditOf(granted(10, 100, { weight: 2 }), granted(100, 200))).passed).toBe(true);
    expect(
      (await auditOf(granted(10, 100, { weight: 2 }), renewed, granted(100, 200))).passed,
    ).toBe(false);
  });

  it("refutes a permit that was given before an earlier ticket", async () => {
    const report = await auditOf(
      granted(10, 20),
      granted(50, 60, { ticket: 12 }),
      granted(70, 80, { ticket: 11 }),
    );
    expect(report.passed).toBe(false);
    expect(report.keys[0]?.outOfOrder).toMatchObject({ fence: 70, place: "log:4" });
  });

  it("judges no order of a ticket that its process never learned, but goes on after it", async () => {
    const early = granted(10, 20, { ticket: 5 });
    const unknown = granted(30, 40, { ticket: 0 });
    expect((await auditOf(early, unknown, granted(50, 60, { ticket: 6 }))).passed).toBe(true);
    const report = await auditOf(early, unknown, granted(50, 60, { ticket: 4 }));
    expect(report.keys[0]?.outOfOrder).toMatchObject({ fence: 50 });
  });

  it("takes a release of which no answer is known as done when it was sent", async () => {
    const lines = [granted(10, 100), granted(11, 100), granted(50, 100)];
    expect((await auditOf(...lines)).passed).toBe(false);
    expect((await auditOf(...lines, '{"key":"k","releasing":10}')).passed).toBe(true);
  });

  it("counts who gave up waiting and who failed, and goes by neither", async () => {
    const others = ['{"denied":"MAX_WAIT_EXCEEDED","key":"k"}', '{"failed":"X","key":"k"}'];
    const report = await auditOf(granted(10, 100), ...others, ...others.slice(0, 1));
    expect(report).toMatchObject({ passed: true, grants: 1, denied: 2, failed: 1 });
  });

  it("tells keys apart", async () => {
    const other = granted(10, 100).replace('"k"', '"l"');
    const report = await auditOf(granted(10, 100), granted(11, 100), other);
    expect(report).toMatchObject({ passed: true });
    expect(report.keys.map(({ key }) => key)).toEqual(["k", "l"]);
  });
});

test.each([
  ["a fence given twice", [HEADER, granted(10, 20), granted(10, 30)], "granted twice"],
  ["another limit", [HEADER, granted(10, 20), HEADER.replace("2", "3")], "differs"],
  ["no grant at all", [HEADER], "no grant"],
  ["a release of nothing", [HEADER, released(5, 6)], "no grant with the fence 5"],
  ["half a line", [HEADER, granted(10, 20).slice(0, 20)], "cut short"],
  ["a grant without its time", [HEADER, '{"key":"k","granted":1}'], "whole number"],
])("the reader refuses %s", async (_, lines, message) => {
  await expect(readSemaphoreLogs([sourceOf(...lines)])).rejects.toThrow(message);
});

test("a log is known by its header, and read from its beginning all the same", async () => {
  const peeked = await peekKind(sourceOf(HEADER, granted(10, 20)));
  expect(peeked.kind).toBe("semaphore");
  expect((await readSemaphoreLogs([peeked.source])).holds).toHaveLength(1);
  expect((await peekKind(sourceOf(`{"sluice":1,"policy":{}}`))).kind).toBe("limiter");
  expect((await peekKind({ name: "empty", async *open() {} })).kind).toBe("limiter");
});
