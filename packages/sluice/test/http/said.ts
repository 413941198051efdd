/** Fields as those read them who parse strictly. */
import assert from "node:assert/strict";
import { parseList } from "structured-headers";
import { type Fields, parseRateLimit } from "../../src/headers/index.js";
import type { ServiceLimit } from "../../src/headers/rate-limit.js";

/** As structured-headers has a list. */
type Items = readonly (readonly [value: unknown, parameters: ReadonlyMap<string, unknown>])[];

/** What the fields of an answer say, as everyone who parses them strictly reads it. */
export interface Said {
  readonly limits: readonly ServiceLimit[];
  readonly quotas: ReadonlyMap<string, { q: number; w: number | undefined }>;
  readonly retryAfterMs: number | undefined;
}

/** Reads with this project's strict parser, and holds it to another one. */
export function read(fields: Fields): Said {
  const names = fields.map(([name]) => name);
  assert.equal(new Set(names).size, names.length);
  for (const field of fields) for (const text of field) assert.match(text, /^[\x20-\x7e]+$/);
  const { limits, policies: stated, retryAfterMs } = parseRateLimit(Object.fromEntries(fields));
  const quotas = new Map(
    stated.map(({ name, quota, windowSeconds: w }) => [name, { q: quota, w }]),
  );
  const map = new Map(fields);
  const other = (parseList(map.get("RateLimit") ?? "") as Items).map(([name, parameters]) => [
    name,
    parameters.get("r"),
    parameters.get("t"),
  ]);
  assert.deepEqual(
    other,
    limits.map(({ name, remaining, resetAfterMs }) => [
      name,
      remaining,
      resetAfterMs === undefined ? undefined : resetAfterMs / 1e3,
    ]),
  );
  const otherPolicies = (parseList(map.get("RateLimit-Policy") ?? "") as Items).map(
    ([name]) => name,
  );
  assert.deepEqual(otherPolicies, [...quotas.keys()]);
  assert.deepEqual(
    limits.map(({ name }) => name),
    otherPolicies,
  );
  assert.match(map.get("Retry-After") ?? "0", /^\d+$/);
  for (const { name, remaining } of limits) {
    assert.ok(remaining <= (quotas.get(name)?.q ?? -1));
  }
  return { limits, quotas, retryAfterMs };
}
