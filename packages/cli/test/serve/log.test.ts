/** What the log says of changes, and what it never says. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { errorText } from "../../src/serve/log.js";
import { startService, temporaryFolder } from "../support/service.js";

const rule = {
  name: "api",
  key: ["user"],
  policy: { algorithm: "gcra", limit: 9, period: "1h" },
} as const;

const said = (lines: readonly string[]): readonly Readonly<Record<string, unknown>>[] =>
  lines.map((line) => {
    const { time: _, ...others } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return others;
  });

test("a switch of the mode is told as what it is", async () => {
  const { ask, lines } = await startService({ rules: [rule] });
  expect((await ask("/v1/mode", { mode: "shadow" })).status).toBe(200);
  expect((await ask("/v1/mode", { mode: null })).status).toBe(200);
  expect(said(lines)).toEqual([
    { level: "info", message: "mode changed", before: "enforce", after: "shadow" },
    { level: "info", message: "mode changed", before: "shadow", after: "enforce" },
  ]);
});

test("a start by the copy on disk says why", async () => {
  const policiesCache = join(temporaryFolder(), "copy.json");
  const first = await startService({ rules: [rule] }, { policiesCache });
  await expect
    .poll(() =>
      startService({ rules: [] }, { policiesCache, policies: "/none.json" }).then(
        ({ lines }) => said(lines),
        String,
      ),
    )
    .toContainEqual({
      level: "warn",
      message: "policies are of the copy on disk",
      why: "there is no file /none.json",
    });
  await first.service.end();
});

test("no line at any level holds a key, an entry, a token or a ticket", async () => {
  const token = "operator-0123456789abcdef";
  const flags = { logLevel: "debug" };
  const { ask, lines, path } = await startService({ rules: [rule] }, flags, {
    SLUICE_TOKENS: `op decide,read,admin,store ${token}`,
  });
  const headers = { authorization: `Bearer ${token}` };
  const key = "ann-of-the-hills";
  const bodies: readonly (readonly [string, unknown])[] = [
    ["/v1/consume", { rule: "api", key }],
    ["/v1/consume", { rule: key, key }],
    ["/v1/consume", { entries: { user: key, [key]: 1 }, plan: key }],
    ["/v1/consume", { rule: "api", key, [key]: 1 }],
    ["/v1/consume", `{"rule":"api","key":"${key}`],
    ["/v1/refund", { rule: "api", key, amount: 1, idempotencyKey: key }],
    ["/v1/semaphores/acquire", { key, limit: 1, semaphore: key }],
    ["/v1/semaphores/list", { key, limit: 1 }],
    ["/v1/semaphores/reset", { key, limit: 1 }],
    ["/v1/cancel", { ticket: key }],
    ["/json", { domain: key, descriptors: [{ entries: [{ key, value: key }] }] }],
    ["/v1/store", { key }],
    [`/v1/authz?rule=${key}`, ""],
    [`/${key}`, {}],
  ];
  for (const [url, body] of bodies) await ask(url, body, { headers });
  writeFileSync(path, `{ "rules": [{ "name": "${key}" `);
  await expect.poll(() => lines.join("")).toContain("policies not taken");
  expect(lines.length).toBeGreaterThan(bodies.length);
  for (const secret of [token, key]) expect(lines.join("")).not.toContain(secret);
});

test.each([
  ["connect redis://:hunter2@host:6379/0 failed", "connect redis://…@host:6379/0 failed"],
  [new Error("rediss://ann:hunter2@a and unix+x://hunter2@b"), "rediss://…@a and unix+x://…@b"],
  ["ann@example.org has no redis://host", "ann@example.org has no redis://host"],
])("the text of an error has no password of a URL: %s", (error, text) => {
  expect(errorText(error)).toBe(text);
});
