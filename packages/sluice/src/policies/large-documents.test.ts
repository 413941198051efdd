/** Documents near a megabyte: what is published, printed or kept on disk can be read again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { eventually } from "../../test/support/eventually.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { PoliciesDocument } from "./document.js";
import { parsePolicies } from "./parse.js";
import { PoliciesFile } from "./policies-file.js";
import { PolicySet } from "./policy-set.js";
import { printPolicies } from "./print.js";
import { PublishedPolicies } from "./published-policies.js";

const COUNT = 10_000;
const MEGABYTE = 1_048_576;

/** With indents it is longer than a document may be, without them not. */
function withComments(length: number): PoliciesDocument {
  const policy = { algorithm: "token-bucket", limit: 3, period: "1h" } as const;
  const overrides = Array.from({ length: COUNT }, (_, i) => {
    const comment = "x".repeat(length);
    return { rule: "api", key: `user=u${i}`, policy: { limit: 5 }, comment };
  });
  return { rules: [{ name: "api", key: ["user"], policy }], overrides };
}

const LARGE = withComments(20);

test("as many overrides as there may be are printed so that they can be read", () => {
  const text = printPolicies(LARGE);
  expect(JSON.stringify(LARGE, undefined, 2).length).toBeGreaterThan(MEGABYTE);
  expect(printPolicies(parsePolicies(text).document)).toBe(text);
  expect((JSON.parse(text) as PoliciesDocument).overrides?.at(-1)).toEqual(LARGE.overrides?.at(-1));
  // What fits is printed for people.
  expect(printPolicies({ ...LARGE, overrides: [] })).toContain('\n  "rules": [\n');
});

test("as many overrides as there may be are published, and followed", async () => {
  const store = new MemoryStore();
  const source = new PublishedPolicies({ store });
  await source.publish(LARGE, { expected: 0 });
  const rules = await PolicySet.open({ source, store });
  onTestFinished(() => rules.close());
  expect(rules.document.overrides?.length).toBe(COUNT);
});

test("what those who follow could not read is not published", async () => {
  const source = new PublishedPolicies({ store: new MemoryStore() });
  await expect(source.publish(withComments(300), { expected: 0 })).rejects.toThrow(
    "the document is refused: as JSON it is longer than 1048576 bytes",
  );
  expect(await source.version()).toBe(0);
});

test("a copy on disk has what was in force, though it is longer than a text may be", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-policies-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, "policies.json");
  const cacheFile = join(folder, "copy.json");
  // A short way to write what is printed at length.
  const times = JSON.stringify({
    ...withComments(7),
    overrides: withComments(7).overrides?.map((each) => ({ ...each, until: "2099-01-01T00:00Z" })),
  });
  expect(times.length).toBeLessThan(MEGABYTE);
  writeFileSync(path, times);
  const first = await PolicySet.open({ source: new PoliciesFile({ path }), cacheFile });
  expect(JSON.stringify(first.document).length).toBeGreaterThan(MEGABYTE);
  writeFileSync(path, "{");
  await eventually(async () => {
    const second = await PolicySet.open({ source: new PoliciesFile({ path }), cacheFile });
    await second.close();
    return second.document.overrides?.length === COUNT;
  });
  await first.close();
});
