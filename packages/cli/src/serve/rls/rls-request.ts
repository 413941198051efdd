/** Out of a request of Envoy's: what a PolicySet is asked, descriptor by descriptor. */
import { calendarWindow, fixedWindow, type Policy } from "sluice";
import { envoyEntry, type RulesRequestOfMany } from "sluice/policies";
import {
  type RlsDescriptor,
  type RlsEntry,
  type RlsRequest,
  RlsRequestError,
} from "./rls-messages.js";

/** What one descriptor asks for. */
export interface RlsAsked {
  readonly kind: "take" | "ask" | "give-back";
  readonly request: RulesRequestOfMany;
}

const MOST_DESCRIPTORS = 1000;
const MOST_ENTRIES = 64;
/** More units than any limit can have count as this many. */
const MOST_HITS = 1e9;

/** @throws RlsRequestError */
export function askedByRls({ domain, descriptors, hitsAddend }: RlsRequest): readonly RlsAsked[] {
  if (domain === "") throw new RlsRequestError("domain is empty");
  if (descriptors.length === 0) throw new RlsRequestError("descriptors are empty");
  if (descriptors.length > MOST_DESCRIPTORS) {
    throw new RlsRequestError(`descriptors are more than ${MOST_DESCRIPTORS}`);
  }
  const hitsOfAll = hitsAddend === 0 ? 1 : hitsAddend;
  return descriptors.map((descriptor) => askedBy(domain, descriptor, hitsOfAll));
}

function askedBy(domain: string, descriptor: RlsDescriptor, hitsOfAll: number): RlsAsked {
  const { entries: pairs, limit, hitsAddend = hitsOfAll, isNegativeHits } = descriptor;
  const entries = entriesOf(domain, pairs);
  const policy = limit && policyOf(limit);
  const cost = Math.min(hitsAddend, MOST_HITS);
  if (isNegativeHits) return { kind: "give-back", request: { entries, cost, policy } };
  // A request of no hits asks whether one would pass.
  if (cost === 0) return { kind: "ask", request: { entries, policy } };
  return { kind: "take", request: { entries, cost, policy } };
}

/** The domain and the entries by their keys, named as `importEnvoy` names them. */
function entriesOf(domain: string, pairs: readonly RlsEntry[]): Record<string, string> {
  if (pairs.length > MOST_ENTRIES) {
    throw new RlsRequestError(`entries of a descriptor are more than ${MOST_ENTRIES}`);
  }
  // Without a prototype every key is a name like others.
  const entries = Object.create(null) as Record<string, string>;
  entries["domain"] = domain;
  for (const { key, value } of pairs) {
    entries[envoyEntry(key, (name) => name in entries)] = value;
  }
  return entries;
}

type Limit = NonNullable<RlsDescriptor["limit"]>;

const WINDOWS: Readonly<Partial<Record<string, string>>> = {
  SECOND: "1s",
  MINUTE: "1m",
  HOUR: "1h",
  DAY: "1d",
  WEEK: "7d",
};

/** Policies that descriptors bring, made once. */
const policies = new Map<string, Policy>();
const MOST_POLICIES = 1000;

function policyOf(limit: Limit): Policy {
  const name = `${limit.unit} ${limit.requestsPerUnit}`;
  let policy = policies.get(name);
  if (policy === undefined) {
    policy = madeOf(limit);
    if (policies.size >= MOST_POLICIES) policies.clear();
    policies.set(name, policy);
  }
  return policy;
}

function madeOf({ requestsPerUnit, unit }: Limit): Policy {
  const limit = Math.min(requestsPerUnit, MOST_HITS);
  if (unit === "MONTH") return calendarWindow({ limit, unit: "month" });
  if (unit === "YEAR") return calendarWindow({ limit, unit: "year" });
  const window = WINDOWS[unit];
  if (window === undefined) throw new RlsRequestError("the unit of a limit is unknown");
  return fixedWindow({ limit, window });
}
