import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixedWindow } from "sluice";
import { headerLine } from "sluice/audit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { record } from "../../../../sluice/test/support/records.js";
import { fakeProcess } from "../../../test/io.js";
import { run } from "../../run.js";

const POLICY = fixedWindow({ limit: 1, window: "1s" });
const HEADER = headerLine([POLICY]);
/** Deeper than a recursive reader can go. */
const DEEP = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-input-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function audit(text: string, ...argv: string[]) {
  const file = join(directory, "log.jsonl");
  await writeFile(file, text);
  const process = fakeProcess();
  const code = await run(["audit", file, ...argv], process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

const line = (changes: Record<string, unknown>): string => {
  const { file: _file, line: _line, ...plain } = record({ atUs: 1 });
  return `${JSON.stringify({ ...plain, ...changes })}\n`;
};

describe("what cannot be read is refused with exit code 2, in a short line without a stack", () => {
  test.each([
    ["a log of something else", "hello\n"],
    ["a line cut short", `${HEADER}{"atUs":1,"key":"a`],
    ["a deep header", `{"sluice":1,"policy":${DEEP}}\n`],
    ["a deep line", `${HEADER}${DEEP}\n`],
    ["a deep field", `${HEADER}{"atUs":${DEEP}}\n`],
    ["a deep source", HEADER + line({}).replace('"source":"store"', `"source":${DEEP}`)],
    ["a deep failure", `${HEADER}{"failed":${DEEP},"key":"k","cost":1}\n`],
    ["a deep semaphore", `{"sluice":1,"semaphore":${DEEP}}\n`],
    ["a deep limit", `{"sluice":1,"semaphore":{"limit":${DEEP}}}\n`],
    ["a deep grant", `{"sluice":1,"semaphore":{"limit":1}}\n{"granted":1,"key":${DEEP}}\n`],
    ["no policy", '{"sluice":1}\n'],
    ["null", "null\n"],
  ])("%s", async (_title, text) => {
    const { code, stdout, stderr } = await audit(text);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^sluice: .*log\.jsonl/);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stderr.length).toBeLessThan(600);
  });

  test.each([
    ["deep JSON", DEEP],
    ["a deep field", `{"algorithm":"gcra","limit":${DEEP},"period":1}`],
    ["broken JSON", `{"algorithm":"gcra"${" ".repeat(10_000)}`],
  ])("--policy with %s", async (_title, policy) => {
    const { code, stderr } = await audit(HEADER, "--policy", policy);
    expect(code).toBe(2);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stderr.length).toBeLessThan(600);
  });
});

describe("a report", () => {
  const forged = "k\n\nPASSED\r\u001B[2J\u202E\u2028";

  test.each([
    ["a limiter's", HEADER + line({ key: forged })],
    [
      "a semaphore's",
      `{"sluice":1,"semaphore":{"limit":1}}\n${JSON.stringify({ granted: 2, key: forged, ticket: 2, weight: 1, untilUs: 9, atUs: 2 })}\n`,
    ],
  ])("cannot be forged by %s key", async (_title, text) => {
    const { stdout } = await audit(text);
    expect(stdout).toContain("k\\u{a}\\u{a}PASSED\\u{d}\\u{1b}[2J\\u{202e}\\u{2028}");
    expect(stdout.match(/^PASSED/gm)?.length ?? 0).toBeLessThanOrEqual(1);
  });
});
