/** What a case of the suite is, and what cases have in common. */
import assert from "node:assert/strict";
import { fixedWindow } from "../../algorithms/fixed-window/policy.js";
import type { Policy } from "../../algorithms/registry.js";
import type { RateLimiter } from "../../limiter/rate-limiter.js";
import { eventually } from "./patience.js";
import type { RawAnswer } from "./raw-connection.js";
import type { Stage } from "./stage.js";
import type { Weakness } from "./subject.js";

export interface HttpCase {
  /** A sentence about an adapter. */
  readonly name: string;
  /** What an adapter may declare not to do, of which this is a part. */
  readonly needs?: Weakness | undefined;
  /** Only if the subject speaks it. */
  readonly protocol?: "HTTP/2" | undefined;
  /** Throws if the adapter does something else. */
  readonly run: (stage: Stage) => Promise<void>;
}

/** An hour from the first request on, so that nothing comes back while a case runs. */
export function quota(limit: number, name = "quota"): Policy {
  return fixedWindow({ name, limit, window: "1h", align: "first" });
}

/** All that an answer says of limits, in any form. */
export function limitFields(answer: RawAnswer): Readonly<Record<string, string>> {
  const names = new Set(answer.fields.map(([name]) => name));
  const stated = [...names].filter((name) => /^(?:x-)?ratelimit|^retry-after$/.test(name));
  return Object.fromEntries(stated.map((name) => [name, answer.field(name) ?? ""]));
}

/** What an answer says of limits but for times, which pass while a case runs. */
export function timeless(answer: RawAnswer): Readonly<Record<string, string>> {
  const fields = Object.entries(limitFields(answer));
  return Object.fromEntries(
    fields.map(([name, value]) => {
      if (name === "retry-after") {
        assert.match(value, /^[1-9]\d*$/, "Retry-After is whole seconds, one at least");
        return [name, "some"];
      }
      return [name, value.replaceAll(/;t=\d+/g, ";t=")];
    }),
  );
}

/** Asserts that an answer says nothing of limits. */
export function saysNothing(answer: RawAnswer): void {
  assert.deepEqual(limitFields(answer), {}, `fields of the answer ${answer.status}`);
}

/** Asserts what is left of an hour's quota once everything is settled. */
export async function hasLeft(limiter: RateLimiter, key: string, units: number): Promise<void> {
  await eventually(async () => {
    assert.equal((await limiter.peek(key)).remaining, units, `units left of the key "${key}"`);
  });
}

/** Asserts that a request was refused with this status, by a problem body of this type. */
export function isProblem(answer: RawAnswer, status: number, type: string): unknown {
  assert.equal(answer.status, status, `status of ${answer.body}`);
  assert.match(answer.field("content-type") ?? "", /^application\/problem\+json\b/);
  const problem = JSON.parse(answer.body) as { readonly type: string; readonly status: number };
  assert.equal(problem.status, status);
  assert.equal(problem.type.replace(TYPES, ""), type);
  return problem;
}

/** Of problem types, in draft-ietf-httpapi-ratelimit-headers. */
export const TYPES = "https://iana.org/assignments/http-problem-types#";
