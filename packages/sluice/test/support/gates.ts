/** Requests to a gate, without a server. */
import type { Charges, Gate, HttpOptions, Pass } from "../../src/http/index.js";
import { createGate } from "../../src/http/index.js";
import type { HttpCall } from "../../src/http/call.js";
import type { RateLimiter } from "../../src/index.js";

export const call: HttpCall = { method: "GET", address: "192.0.2.7", header: () => undefined };
export const ended = { status: 200, aborted: false };

/** A call with these request fields. */
export function callWith(fields: Record<string, string>, more: Partial<HttpCall> = {}): HttpCall {
  return { ...call, header: (name) => fields[name], ...more };
}

/** Lets a new request pass as far as it gets. */
export function enter(gate: Gate<object>, asked: HttpCall = call): Pass | Promise<Pass> {
  return gate.enter({}, asked);
}

/** A gate that charges every request the same. */
export function gateOf(
  charges: Charges | (() => Charges | Promise<Charges>),
  options: Partial<HttpOptions<object>> = {},
): Gate<object> {
  const charge = typeof charges === "function" ? charges : () => charges;
  return createGate<object>({ charge, ...options });
}

/** What a pass comes to: "pass", or the status and the wait of its denial. */
export async function outcomeOf(pass: Pass | Promise<Pass>): Promise<string> {
  const { denial } = await pass;
  return denial === undefined ? "pass" : `${denial.status} ${denial.reason} ${denial.retryAfterMs}`;
}

export const fieldsIn = ({ fields }: Pass): Record<string, string> => Object.fromEntries(fields);

/** Units that are left to a key. */
export async function left(limiter: RateLimiter, key: string): Promise<number> {
  return (await limiter.peek(key, { cost: 0 })).remaining;
}
