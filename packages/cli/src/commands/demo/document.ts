/** The limits of the demo, and the tenants that reach them. */
import type { PoliciesDocument } from "sluice/policies";

/** A document as one would write it: a limit for every tenant, a plan that raises it, and one for logins. */
export const DEMO_DOCUMENT = {
  plans: { pro: { api: { limit: 50, burst: 50 } } },
  rules: [
    {
      name: "api",
      match: { path: "/v1/*" },
      key: ["tenant"],
      policy: { algorithm: "token-bucket", limit: 10, period: "1s", burst: 10 },
    },
    {
      name: "login",
      match: { path: "/login" },
      key: ["address"],
      policy: { algorithm: "sliding-log", limit: 5, window: "10s" },
    },
  ],
} as const satisfies PoliciesDocument;

/** One who calls at a steady pace. */
export interface Tenant {
  readonly name: string;
  /** What the demo says of it. */
  readonly about: string;
  readonly rule: (typeof DEMO_DOCUMENT.rules)[number]["name"];
  readonly callsPerSecond: number;
  readonly entries: Readonly<Record<string, string>>;
  readonly plan?: string;
}

const api = (tenant: string): Tenant["entries"] => ({ path: "/v1/items", tenant });

/** One of each kind that an operator meets. */
export const TENANTS: readonly Tenant[] = [
  {
    name: "acme",
    about: "on the plan pro: 50 a second",
    rule: "api",
    callsPerSecond: 20,
    entries: api("acme"),
    plan: "pro",
  },
  {
    name: "bistro",
    about: "far below its limit",
    rule: "api",
    callsPerSecond: 2,
    entries: api("bistro"),
  },
  {
    name: "crest",
    about: "near its limit",
    rule: "api",
    callsPerSecond: 9.5,
    entries: api("crest"),
  },
  {
    name: "dodgy",
    about: "abusive: four times its limit",
    rule: "api",
    callsPerSecond: 40,
    entries: api("dodgy"),
  },
  {
    name: "203.0.113.7",
    about: "guesses passwords",
    rule: "login",
    callsPerSecond: 2,
    entries: { path: "/login", address: "203.0.113.7" },
  },
];
