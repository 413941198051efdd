/** What a dashboard may have to show: nothing, a busy service, an outage, hostile keys, ten thousand rules. */
import type {
  Change,
  Counts,
  DashboardState,
  LookedUpRule,
  PermitsListed,
  RuleState,
  Second,
} from "../../../src/dashboard/wire.js";

/** 27 November 2026, 14:05 UTC; browsers are set to that time and place. */
export const NOW_MS = Date.UTC(2026, 10, 27, 14, 5);

const counts = (asked: number, denied: number, near = 0, withoutStore = 0): Counts => ({
  asked,
  allowed: asked - denied,
  denied,
  near,
  withoutStore,
  shadowDenied: Math.round(denied / 8),
});

/** A day's ripple, an abuser who comes at 13:58, and half a minute without the store at 13:54. */
function busySeconds(): readonly Second[] {
  return Array.from({ length: 900 }, (_, i) => {
    const fromMs = NOW_MS - (900 - i) * 1000;
    const ripple = Math.sin(i / 60) * 900 + Math.sin(i / 7) * 250 + ((i * 7919) % 211);
    const asked = Math.round(12_000 + ripple);
    const denied = i < 480 ? 20 + (i % 9) : Math.round(260 + Math.sin(i / 11) * 50 + (i % 13));
    const isOut = i >= 240 && i < 270;
    const near = Math.round(80 + Math.sin(i / 25) * 22);
    return { fromMs, spanMs: 1000, ...counts(asked, denied, near, isOut ? 900 : 0) };
  });
}

const rule = (
  name: string,
  limit: string,
  perSecond: Counts,
  more: Partial<RuleState> = {},
): RuleState => ({
  rule: name,
  limit,
  fields: [
    { name: "limit", own: "100" },
    { name: "period", own: "1m" },
    { name: "burst", own: "200", otherwise: "the limit" },
  ],
  mode: "enforce",
  percent: 100,
  perSecond,
  limitedKeys: { count: Math.round(perSecond.denied / 2), isAtLeast: false },
  candidate: undefined,
  ...more,
});

const change = (version: number, minutes: number, text: string, more: Partial<Change>): Change => ({
  id: String(version),
  atMs: NOW_MS - minutes * 60_000,
  who: "ana",
  kind: "policies",
  version,
  text,
  comment: undefined,
  canRollBack: true,
  ...more,
});

/** Nobody asks, and there is no rule: a first start. */
export const EMPTY: DashboardState = {
  next: 0,
  isContinued: false,
  nowMs: NOW_MS,
  name: "edge-test",
  visitor: { access: "admin", who: "ana", canLogOut: true },
  scope: {
    kind: "this-process",
    store: "memory",
    reporting: 1,
    silent: 0,
    gaps: 0,
    stale: undefined,
  },
  policies: {
    version: "5f1c",
    mode: "enforce",
    source: "file",
    isPublished: true,
    stale: undefined,
    scheduled: [],
  },
  seconds: [],
  rules: [],
  rulesTotal: 0,
  topDenied: [],
  stores: [],
  semaphores: [],
  changes: [],
  attempts: { count: 0, fromMs: undefined, isWhole: true },
};

export const BUSY: DashboardState = {
  ...EMPTY,
  next: 900,
  name: "edge-prod",
  scope: {
    kind: "all-processes",
    store: "redis",
    reporting: 3,
    silent: 0,
    gaps: 0,
    stale: undefined,
  },
  policies: { ...EMPTY.policies, version: 42, source: "published" },
  seconds: busySeconds(),
  rules: [
    rule("api", "100 per 1 min, burst 200", counts(9100, 290, 71), {
      candidate: { limit: "50 per 1 min, burst 50", deniedPerSecond: 140 },
      limitedKeys: { count: 212, isAtLeast: true },
    }),
    rule("login", "5 in any 15 min", counts(12, 4, 2), {
      fields: [
        { name: "limit", own: "5" },
        { name: "window", own: "15m" },
      ],
      mode: "shadow",
      percent: 25,
    }),
    rule("search", "20 per 1 s, burst 20", counts(2870, 16, 15)),
    rule("export", "2 per 1 h, burst 2", counts(0.03, 0, 0)),
    rule("legacy", "1,000 per 1 d, burst 1,000", counts(0, 0), { mode: "off" }),
  ],
  rulesTotal: 5,
  topDenied: [
    ["api", "ocJAntqM3vXbQ8fYw2kL0A", "acme", 1204, 1204],
    ["api", "T7m2pWq9ZcR4hN5sVx1bGg", "initech", 311, 340],
    ["search", "k3Jd82LmPq0aTzX5vB7nYw", undefined, 57, 57],
    ["login", "Qe9rTy2uIo4pAs6dFg8hJk", "10.20.30.40", 9, 9],
  ].map(([name, id, label, atLeast, atMost]) => ({
    rule: name as string,
    id: id as string,
    label: label as string | undefined,
    atLeast: atLeast as number,
    atMost: atMost as number,
  })),
  stores: [
    {
      name: "redis",
      memory: undefined,
      parts: [{ part: "store", breaker: "closed" }],
      callsPerSecond: 4120,
      batchMean: 38.2,
      p50Ms: 0.42,
      p99Ms: 0.81,
      errorsPerSecond: 0,
      outages: [
        { fromMs: NOW_MS - 660_000, toMs: NOW_MS - 630_000, answered: "local", calls: 27_000 },
        { fromMs: NOW_MS - 7_200_000, toMs: NOW_MS - 7_195_000, answered: "open", calls: 811 },
      ],
    },
  ],
  semaphores: [
    { semaphore: "reports", limit: 20, held: 17, waiting: 3, lost: 0, canList: true },
    { semaphore: "mail", limit: 4, held: 1, waiting: 0, lost: 2, canList: false },
  ],
  changes: [
    change(42, 3, "rule login (5 in any 15 min)", {
      comment: "halve login",
      canRollBack: false,
    }),
    change(41, 41, "rule api (50 per 1 min, burst 50 beside, not enforced)", {
      who: "ben",
      comment: "try half",
    }),
    change(40, 190, "override api user=acme", {
      kind: "override",
      comment: "migration",
    }),
    change(0, 200, "blocked api Qe9rTy2uIo4pAs6dFg8hJk for 15m", {
      kind: "block",
      version: undefined,
      canRollBack: false,
    }),
  ],
  attempts: { count: 182_400, fromMs: NOW_MS - 300_000, isWhole: false },
};

/** The store cannot be asked: a part is open, the numbers are old, and callers are answered without it. */
export const STALE: DashboardState = {
  ...BUSY,
  scope: {
    ...BUSY.scope,
    reporting: 2,
    silent: 1,
    gaps: 2,
    stale: { sinceMs: NOW_MS - 95_000, why: "connect ECONNREFUSED" },
  },
  policies: {
    ...BUSY.policies,
    mode: "shadow",
    isPublished: false,
    stale: { why: "connect ECONNREFUSED", forMs: 95_000 },
    scheduled: [{ version: 43, atMs: NOW_MS + 600_000 }],
  },
  seconds: BUSY.seconds.map((second, i) =>
    i < 805 ? second : { ...second, withoutStore: second.asked },
  ),
  stores: BUSY.stores.map((store) => ({
    ...store,
    parts: [
      { part: "10.0.0.1:6379", breaker: "open" },
      { part: "10.0.0.2:6379", breaker: "half-open" },
      { part: "10.0.0.3:6379", breaker: "closed" },
    ],
    p50Ms: undefined,
    p99Ms: undefined,
    batchMean: undefined,
    errorsPerSecond: 31.5,
    outages: [
      { fromMs: NOW_MS - 95_000, toMs: undefined, answered: "local", calls: undefined },
      ...store.outages,
    ],
  })),
};

export const READ_ONLY: DashboardState = {
  ...BUSY,
  visitor: { access: "read", who: "guest", canLogOut: true },
};

export const MARKUP = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>`;

/** Markup wherever a client, or whoever writes the document, can put text. */
export const HOSTILE: DashboardState = {
  ...BUSY,
  name: MARKUP,
  visitor: { access: "admin", who: MARKUP, canLogOut: true },
  rules: BUSY.rules.map((each, i) => (i === 0 ? { ...each, rule: MARKUP, limit: MARKUP } : each)),
  topDenied: BUSY.topDenied.map((key) => ({ ...key, label: MARKUP, id: `${MARKUP}${key.id}` })),
  changes: BUSY.changes.map((each) => ({ ...each, text: MARKUP, comment: MARKUP, who: MARKUP })),
  scope: { ...BUSY.scope, stale: { sinceMs: NOW_MS - 5000, why: MARKUP } },
};

/** Names as long as they may be, of one word, from right to left, and of emoji; with a mark that turns what follows. */
export const WORDY: DashboardState = (() => {
  const names = [
    "W".repeat(120),
    "\u202Eمفتاح تجريبي key",
    "👩‍👩‍👧‍👦🏳️‍🌈".repeat(12),
    "a b ".repeat(30),
  ];
  const name = (i: number): string => names[i % names.length] ?? "";
  const [long] = names as [string];
  return {
    ...BUSY,
    name: long,
    visitor: { ...BUSY.visitor, who: long },
    policies: { ...BUSY.policies, version: "f".repeat(64) },
    rules: BUSY.rules.map((each, i) => ({ ...each, rule: `${i} ${name(i)}`.slice(0, 64) })),
    topDenied: BUSY.topDenied.map((key, i) => ({
      ...key,
      rule: name(i).slice(0, 64),
      label: name(i),
    })),
    changes: BUSY.changes.map((each, i) => {
      return { ...each, text: name(i), comment: name(i + 1), who: name(i + 2) };
    }),
    stores: BUSY.stores.map((store) => {
      return { ...store, parts: [{ part: `${long}:6379`, breaker: "closed" }] };
    }),
    scope: { ...BUSY.scope, stale: { sinceMs: NOW_MS - 5000, why: long } },
  };
})();

/** 10,000 rules and 100 hot keys. */
export const MANY: DashboardState = {
  ...BUSY,
  rules: Array.from({ length: 10_000 }, (_, i) =>
    rule(`rule-${i}`, `${i + 1} a minute`, counts(i / 10, (i * 7919) % 97, i % 5)),
  ),
  rulesTotal: 10_000,
  topDenied: Array.from({ length: 100 }, (_, i) => ({
    rule: `rule-${i}`,
    id: `hot-${i}`,
    label: undefined,
    atLeast: 10_000 - i,
    atMost: 10_000 - i,
  })),
};

export const LOOKED_UP: LookedUpRule = {
  rule: "api",
  matches: true,
  text: "100 per 1 min, burst 200",
  id: "ocJAntqM3vXbQ8fYw2kL0A",
  label: "acme",
  now: {
    allowed: false,
    remaining: 0,
    limit: 200,
    retryAfterMs: 1200,
    resetAfterMs: 61_000,
    reason: "quota",
    source: "store",
  },
  override: undefined,
  isBlocked: false,
  last: [
    { atMs: NOW_MS - 400, allowed: false, reason: "quota" },
    { atMs: NOW_MS - 2100, allowed: true, reason: "ok" },
  ],
};

export const PERMITS: PermitsListed = {
  limit: 20,
  held: 2,
  waiting: 1,
  holders: [
    {
      fencingToken: "1764230400000000",
      weight: 2,
      sinceMs: NOW_MS - 5000,
      untilMs: NOW_MS + 25_000,
    },
  ],
  waiters: [{ weight: 1, sinceMs: NOW_MS - 1000 }],
};
