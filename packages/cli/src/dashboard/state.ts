/** What the page shows, made once for all who ask until something has changed. */
import type { RateLimiter, Store } from "sluice";
import { type PolicyRule, PublishedPolicies } from "sluice/policies";
import type { LimiterReport, PolicyReport, Reports } from "sluice/report";
import { type Deltas, ruleName } from "./count-sums.js";
import type { KeyPermits } from "./permits.js";
import { fieldsOf, limitText, reportedText } from "./limit-text.js";
import type { ChangeList } from "./changes.js";
import type { DashboardOptions } from "./options.js";
import type { Sampler } from "./sampler.js";
import { storeName, type StoreWatch } from "./store-watch.js";
import type {
  Counts,
  DashboardState,
  DeniedKey,
  PoliciesState,
  RuleState,
  NumbersScope,
  Visitor,
} from "./wire.js";

/** What the state is made of. */
export interface StateSources {
  readonly options: DashboardOptions;
  readonly store: Store;
  readonly sampler: Sampler;
  readonly stores: readonly StoreWatch[];
  readonly changes: ChangeList;
  readonly isKept: (version: number | string) => boolean;
  readonly permits: KeyPermits;
  readonly attempts: () => DashboardState["attempts"];
}

type Shared = Omit<
  DashboardState,
  "next" | "isContinued" | "nowMs" | "visitor" | "seconds" | "attempts"
>;

const MOST_RULES = 512;
const MOST_DENIED = 100;
/** Up to this many ids of a policy are counted one by one. */
const COUNTED_IDS = 100;
const LONGEST_LABEL = 200;
const MOST_SCHEDULED = 5;
const MOST_SEMAPHORES = 100;
const SECOND_MS = 1000;

/** The parts that are the same for all who ask, by a number that grows when they are others. */
export class SharedState {
  readonly #sources: StateSources;
  #revision = 0;
  #text: string | undefined;
  #isTouched = true;

  constructor(sources: StateSources) {
    this.#sources = sources;
  }

  /** Something may not be as it was. */
  touch(): void {
    this.#isTouched = true;
  }

  /** Names what would be answered now. */
  tag(visitor: Visitor, since: number | undefined): string {
    this.#shared();
    const { next } = this.#sources.sampler.seconds.since(since);
    const who = Buffer.from(JSON.stringify(visitor)).toString("base64url");
    return `"${this.#revision}-${next}-${since ?? ""}-${who}"`;
  }

  /** The whole as JSON. */
  text(visitor: Visitor, since: number | undefined): string {
    const { sampler, attempts } = this.#sources;
    const { seconds, next, isContinued } = sampler.seconds.since(since);
    const own = { next, isContinued, nowMs: sampler.nowMs(), visitor, attempts: attempts() };
    const shared = this.#shared();
    return `${JSON.stringify({ ...own, seconds }).slice(0, -1)},${shared.slice(1)}`;
  }

  #shared(): string {
    if (!this.#isTouched && this.#text !== undefined) return this.#text;
    const text = JSON.stringify(sharedOf(this.#sources));
    if (text !== this.#text) this.#revision += 1;
    this.#isTouched = false;
    this.#text = text;
    return text;
  }
}

function sharedOf(sources: StateSources): Shared {
  const { options, sampler, stores, changes, isKept, permits } = sources;
  const { reports } = sampler;
  const { rules, rulesTotal } = rulesOf(sources);
  const namespace = namespaceOf(options);
  return {
    name: options.name ?? namespace,
    scope: scopeOf(sources),
    policies: policiesOf(sources),
    rules,
    rulesTotal,
    topDenied: topDeniedOf(reports, namespace, options.label),
    stores: stores.map((each) => each.state()),
    semaphores: permits.statesOf(reports?.semaphores ?? []).slice(0, MOST_SEMAPHORES),
    changes: changes.list(isKept),
  };
}

function namespaceOf({ policies }: DashboardOptions): string {
  return policies.stats().limiter;
}

function scopeOf({ sampler, store }: StateSources): NumbersScope {
  const { reports, stale } = sampler;
  const states = (reports?.processes ?? []).map(({ state }) => state);
  return {
    kind: store.external && store.reports !== undefined ? "all-processes" : "this-process",
    store: storeName(store),
    reporting: states.filter((state) => state === "reporting").length,
    silent: states.filter((state) => state === "silent").length,
    gaps: reports?.gaps.length ?? 0,
    stale,
  };
}

function policiesOf({ options: { policies } }: StateSources): PoliciesState {
  const { source } = policies;
  const { version, mode, stale, staleMs, scheduled } = policies.status();
  return {
    version,
    mode,
    // Any other source is one that only its owner changes, as a file is.
    source:
      source === undefined ? "value" : source instanceof PublishedPolicies ? "published" : "file",
    isPublished: source instanceof PublishedPolicies,
    // By the second, so that what is the same is the same text.
    stale:
      stale === undefined
        ? undefined
        : { why: stale, forMs: Math.floor(staleMs / SECOND_MS) * SECOND_MS },
    scheduled: scheduled.slice(0, MOST_SCHEDULED).map((each) => {
      return { version: each.version, atMs: Math.floor(each.atUs / 1000) };
    }),
  };
}

const NO_RATES: Counts = {
  asked: 0,
  allowed: 0,
  denied: 0,
  near: 0,
  withoutStore: 0,
  shadowDenied: 0,
};

/** Rounded: a page shows three digits, and each is sent every second. */
function ratesOf(rates: Deltas, name: string): Counts & { readonly candidateDenied: number } {
  const found = rates.get(name);
  if (found === undefined) return { ...NO_RATES, candidateDenied: 0 };
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  return {
    asked: round(found.asked),
    allowed: round(found.allowed),
    denied: round(found.denied),
    near: round(found.near),
    withoutStore: round(found.withoutStore),
    shadowDenied: round(found.shadowDenied),
    candidateDenied: round(found.candidateDenied),
  };
}

function rulesOf({ options, sampler }: StateSources): {
  readonly rules: readonly RuleState[];
  readonly rulesTotal: number;
} {
  const namespace = namespaceOf(options);
  const { rates, reports } = sampler;
  const { document } = options.policies;
  const { mode } = options.policies.status();
  const reported = (reports?.limiters ?? []).flatMap((limiter) =>
    limiter.policies.map((policy) => ({ limiter, policy })),
  );
  const byName = new Map(
    reported.map(({ limiter, policy }) => [ruleName(limiter.limiter, policy.policy), policy]),
  );
  const named = new Set(document.rules.map(({ name }) => ruleName(namespace, name)));
  const shown = chosen(document.rules, (rule) => rates.get(ruleName(namespace, rule.name))?.asked);
  const rules = shown.map((rule) => {
    const name = ruleName(namespace, rule.name);
    return ruleState(rule, mode, rates, name, byName.get(name));
  });
  const others = reported
    .filter(({ limiter, policy }) => !named.has(ruleName(limiter.limiter, policy.policy)))
    .filter(({ policy }) => policy.policy !== "" && policy.asked > 0)
    .map(({ limiter, policy }) => otherState(limiter, policy, rates, namespace));
  return {
    rules: [...rules, ...others].slice(0, MOST_RULES),
    rulesTotal: document.rules.length + others.length,
  };
}

/** Those that are asked most, in the order of the document. */
function chosen(
  rules: readonly PolicyRule[],
  askedOf: (rule: PolicyRule) => number | undefined,
): readonly PolicyRule[] {
  if (rules.length <= MOST_RULES) return rules;
  const asked = rules.map((rule, at) => ({ rule, at, asked: askedOf(rule) ?? 0 }));
  const most = asked.sort((a, b) => b.asked - a.asked || a.at - b.at).slice(0, MOST_RULES);
  return most.sort((a, b) => a.at - b.at).map(({ rule }) => rule);
}

function ruleState(
  rule: PolicyRule,
  mode: RuleState["mode"],
  rates: Deltas,
  name: string,
  report: PolicyReport | undefined,
): RuleState {
  const { candidateDenied, ...perSecond } = ratesOf(rates, name);
  const { candidate, mode: own = "enforce" } = rule;
  return {
    rule: rule.name,
    limit: limitText(rule.policy),
    fields: fieldsOf(rule.policy),
    mode: mode === "off" || own === "off" ? "off" : mode === "shadow" ? "shadow" : own,
    percent: rule.rollout?.percent ?? 100,
    perSecond,
    limitedKeys: limitedKeys(report),
    candidate: candidate && {
      limit: limitText(candidate.policy),
      deniedPerSecond: candidateDenied,
    },
  };
}

/** Of a limiter beside the rules; or of a rule that only other processes have. */
function otherState(
  { limiter }: LimiterReport,
  report: PolicyReport,
  rates: Deltas,
  namespace: string,
): RuleState {
  const { candidateDenied: _, ...perSecond } = ratesOf(rates, ruleName(limiter, report.policy));
  return {
    rule: shownName(limiter, report.policy, namespace),
    limit: reportedText(report.limit, report.windowMs),
    fields: undefined,
    mode: report.mode,
    percent: 100,
    perSecond,
    limitedKeys: limitedKeys(report),
    candidate: undefined,
  };
}

function shownName(limiter: string, policy: string, namespace: string): string {
  return limiter === namespace ? policy : `${limiter}/${policy}`;
}

function limitedKeys(report: PolicyReport | undefined): RuleState["limitedKeys"] {
  const count = report?.topDenied.length ?? 0;
  return { count, isAtLeast: count >= COUNTED_IDS };
}

function topDeniedOf(
  reports: Reports | undefined,
  namespace: string,
  label: DashboardOptions["label"],
): readonly DeniedKey[] {
  const all = (reports?.limiters ?? []).flatMap(({ limiter, policies }) =>
    policies.flatMap(({ policy, topDenied }) =>
      topDenied.map((each) => ({ rule: shownName(limiter, policy, namespace), ...each })),
    ),
  );
  return all
    .sort((a, b) => b.atLeast - a.atLeast || b.atMost - a.atMost || (a.id < b.id ? -1 : 1))
    .slice(0, MOST_DENIED)
    .map(({ rule, id, atLeast, atMost }) => {
      return { rule, id, label: labelOf(label, id), atLeast, atMost };
    });
}

/** What the app says of an id; a label that throws says nothing. */
export function labelOf(label: DashboardOptions["label"], id: string): string | undefined {
  try {
    const text: unknown = label?.(id);
    return typeof text === "string" ? text.slice(0, LONGEST_LABEL) : undefined;
  } catch {
    return undefined;
  }
}

/** What the dashboard reports and remembers: the rules, and limiters beside them. */
export function countedOf({
  policies,
  limiters = [],
}: DashboardOptions): readonly (RateLimiter | DashboardOptions["policies"])[] {
  return [policies, ...limiters];
}
