/** Some thousands of wrong arguments: each is refused by name before anything happens, or does what is documented. */
import { inspect } from "node:util";
import { trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { OutsideStore } from "../test/support/outside-store.js";
import { rateLimit as onExpress } from "./adapters/express.js";
import { rateLimit as onFastify } from "./adapters/fastify.js";
import { apolloRateLimit, useRateLimit } from "./adapters/graphql.js";
import { rateLimit as onHono } from "./adapters/hono.js";
import { rateLimit as onKoa } from "./adapters/koa.js";
import { RateLimit, RateLimitModule } from "./adapters/nest.js";
import { rateLimit as onNode } from "./adapters/node.js";
import { rateLimit as onWeb } from "./adapters/web.js";
import {
  calendarWindow,
  consumeAtomic,
  fixedWindow,
  gcra,
  InvalidOptionError,
  leakyBucket,
  limited,
  MemoryStore,
  RateLimiter,
  lendPermit,
  releaseLent,
  renewLent,
  Semaphore,
  slidingLog,
  slidingWindow,
  type Store,
  tokenBucket,
} from "./index.js";
import { auditFiles, auditLogs, headerLine, keyId, recordLine } from "./audit/index.js";
import { publish } from "./diagnostics/index.js";
import { instrument } from "./otel/index.js";
import {
  formatRateLimit,
  formatRateLimitPolicy,
  formatRetryAfter,
  decisionFields,
  parseRateLimit,
  rateLimitFields,
} from "./headers/index.js";
import { addressKey, by, clientAddress, createGate } from "./http/index.js";
import { AttemptLog, RecentAttempts } from "./log/index.js";
import { limitFetch } from "./outgoing/fetch.js";
import { limitInterceptor } from "./outgoing/undici.js";
import {
  blockRuleKey,
  cancelReserved,
  consumeRulesNow,
  consumeRulesUpTo,
  importEnvoy,
  importLimitador,
  loadYaml,
  peekRuleKey,
  penalizeRules,
  PoliciesFile,
  PolicySet,
  PublishedPolicies,
  reserveRules,
  resetRuleKey,
  ruleKeyId,
  rulesFields,
  unblockRuleKey,
} from "./policies/index.js";
import { readReports, report } from "./report/index.js";
import { RedisStore } from "./stores/redis/index.js";
import { limitsOf, readLoggedAttempts, simulate, suggestLimits } from "./simulate/index.js";
import { httpConformance, ManualClock, PureStore, storeConformance } from "./testing/index.js";

const SECRET = "hunter2";
const policy = tokenBucket({ limit: 1000, period: "1h" });
const CENTURY_MS = 36_525 * 86_400e3;
const PERIOD_MS = 366 * 86_400e3;

/** What is passed instead of every argument and option. */
const values: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  0.0005,
  1.5,
  2 ** 53,
  1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  10n,
  Symbol(SECRET),
  "",
  "soon",
  "1min",
  "-1s",
  "a b",
  "\n",
  "\ud800",
  `redis://:${SECRET}@h`,
  `x${SECRET}`.repeat(700),
  {},
  { password: SECRET },
  Object.create(null),
  new Date(0),
  /x/,
  new Map([[SECRET, SECRET]]),
  new Uint8Array(3),
  new Error(SECRET),
  Object.assign(() => SECRET, { password: SECRET }),
  Promise.resolve(SECRET),
  new AbortController(),
  AbortSignal.prototype,
  Object.create(AbortSignal.prototype),
  { aborted: false, password: SECRET },
  [null],
  [{ password: SECRET }],
  new Proxy(
    {},
    {
      get: () => undefined,
      ownKeys: () => ["x"],
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: SECRET }),
    },
  ),
];

/** What a value has to be. */
type Accepts = (value: unknown) => boolean;

const nothing: Accepts = () => false;
const units =
  (least: number, most = 1e9): Accepts =>
  (value) =>
    typeof value === "number" && value >= least && value <= most && Number.isInteger(value * 1e3);
const whole =
  (least: number, most: number): Accepts =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
/** None of the texts is a duration. */
const ms = (least: number, most = CENTURY_MS) => units(least, most);
const orInfinity =
  (accepts: Accepts): Accepts =>
  (value) =>
    value === Number.POSITIVE_INFINITY || accepts(value);
const boolean: Accepts = (value) => typeof value === "boolean";
const text: Accepts = (value) => typeof value === "string";
const fn: Accepts = (value) => typeof value === "function";
const either =
  (...all: Accepts[]): Accepts =>
  (value) =>
    all.some((accepts) => accepts(value));
const is =
  (...these: unknown[]): Accepts =>
  (value) =>
    these.includes(value);
/** An object without options is one with all their defaults. */
const options: Accepts = (value) =>
  Object.prototype.toString.call(value) === "[object Object]" && namesOf(value as object) === 0;
const namesOf = (value: object): number => Object.keys(value).length;
const clearEntries: Accepts = (value) =>
  value === true || (Array.isArray(value) && value.every((each) => typeof each === "string"));
const name: Accepts = (value) => typeof value === "string" && /^[\w.-]{1,64}$/.test(value);
const fieldName: Accepts = (value) => typeof value === "string" && /^[\w.-]{1,100}$/.test(value);
const key: Accepts = (value) =>
  typeof value === "string" && value !== "" && value.length < 4096 && value.isWellFormed();

type Call = (value: never, subject: Subject) => unknown;
type Case = readonly [name: string, call: Call, accepts: Accepts];

interface Subject {
  readonly limiter: RateLimiter;
  readonly semaphore: Semaphore;
  /** Another one each time. */
  readonly fresh: () => string;
}

/** Of a verb: what its key, its options and each of them may be. */
function verb(
  verbName: string,
  call: (subject: Subject, k: string, o: never) => unknown,
  each: Readonly<Record<string, Accepts>>,
  needed: object = {},
): Case[] {
  return [
    [`${verbName}: key`, (value, subject) => call(subject, value, needed as never), key],
    [
      `${verbName}: options`,
      (value, subject) => call(subject, subject.fresh(), value),
      namesOf(needed) === 0 ? options : nothing,
    ],
    [
      `${verbName}: unknown`,
      (value, subject) => call(subject, subject.fresh(), { ...needed, pasword: value } as never),
      nothing,
    ],
    ...Object.entries(each).map(
      ([option, accepts]): Case => [
        `${verbName}: ${option}`,
        (value, subject) => call(subject, subject.fresh(), { ...needed, [option]: value } as never),
        accepts,
      ],
    ),
  ];
}

const asked = { cost: units(0), policy: nothing, signal: nothing, slot: key };
const waited = { ...asked, cost: units(0, 1000), maxWait: orInfinity(ms(0)) };

/** Charges one request the charge with this option. */
function charged(subject: Subject, option: object): unknown {
  const charge = { limiter: subject.limiter, key: subject.fresh(), ...option };
  return createGate<object>({ charge: () => charge }).enter(
    {},
    { method: "GET", address: undefined, header: () => undefined },
  );
}

/** What is no text comes from outside: the answer is 400. */
const keyFromOutside: Accepts = (value) => value !== undefined;

const chargeCases = Object.entries({
  limiter: nothing,
  key: keyFromOutside,
  slot: keyFromOutside,
  cost: units(0),
  settle: fn,
  maxWait: orInfinity(ms(0)),
  show: boolean,
  pasword: nothing,
} satisfies Record<string, Accepts>).map(
  ([option, accepts]): Case => [
    `charge: ${option}`,
    (value, subject) => charged(subject, { [option]: value }),
    accepts,
  ],
);

const FIVE = tokenBucket({ limit: 5, period: "1s" });

const limiterCases: readonly Case[] = [
  ...chargeCases,
  ...verb("consume", ({ limiter }, k, o) => limiter.consume(k, o), asked),
  ...verb("peek", ({ limiter }, k, o) => limiter.peek(k, o), asked),
  ...verb(
    "consumeUpTo",
    ({ limiter }, k, o) => limiter.consumeUpTo(k, o),
    { ...asked, cost: whole(1, 1e9) },
    { cost: 1 },
  ),
  ...verb("reserve", ({ limiter }, k, o) => limiter.reserve(k, o), { ...waited, cost: units(0) }),
  ...verb("acquire", ({ limiter }, k, o) => limiter.acquire(k, o), waited),
  ...verb("block", ({ limiter }, k, o) => limiter.block(k, "1s", o), {
    keepLonger: boolean,
    slot: key,
  }),
  [
    "block: duration",
    (value, { limiter, fresh }) => limiter.block(fresh(), value),
    orInfinity(ms(1)),
  ],
  ...verb("unblock", ({ limiter }, k, o) => limiter.unblock(k, o), { slot: key }),
  ...verb("reset", ({ limiter }, k, o) => limiter.reset(k, o), { slot: key }),
  ...verb("refund", ({ limiter }, k, o) => limiter.refund(k, 1, o), { of: nothing, slot: key }),
  ...verb("penalize", ({ limiter }, k, o) => limiter.penalize(k, 1, o), { slot: key }),
  ...verb(
    "settle",
    ({ limiter }, k, o) => limiter.settle(k, o),
    { reserved: units(0), actual: units(0), of: nothing, slot: key },
    { reserved: 2, actual: 1 },
  ),
  ...verb("override", (_, k, o) => new RateLimiter({ policy: FIVE }).override(k, undefined, o), {
    until: (value) =>
      value instanceof Date
        ? !Number.isNaN(value.getTime())
        : typeof value === "number" && value >= 0 && value <= 8.64e15,
    comment: (value) => typeof value === "string" && value.length <= 500,
    by: (value) => typeof value === "string" && value.length <= 200,
    slot: key,
  }),
  ["setPolicy: policy", (value) => new RateLimiter({ policy: FIVE }).setPolicy(value), fn],
  [
    "setPolicy: by",
    (value) => new RateLimiter({ policy: FIVE }).setPolicy(FIVE, { by: value }),
    (value) => typeof value === "string",
  ],
  ["refund: amount", (value, { limiter, fresh }) => limiter.refund(fresh(), value), units(0)],
  ["penalize: amount", (value, { limiter, fresh }) => limiter.penalize(fresh(), value), units(0)],
  ["consumeMany: requests", (value, { limiter }) => limiter.consumeMany(value), nothing],
  [
    "consumeMany: request",
    (value, { limiter }) => limiter.consumeMany([{ key: "k" }, value]),
    nothing,
  ],
  [
    "consumeMany: key",
    (value, { limiter }) => limiter.consumeMany([{ key: "k" }, { key: value }]),
    key,
  ],
  [
    "consumeMany: cost",
    (value, { limiter }) => limiter.consumeMany([{ key: "k" }, { key: "k", cost: value }]),
    units(0),
  ],
  [
    "consumeMany: slot",
    (value, { limiter }) => limiter.consumeMany([{ key: "k" }, { key: "k", slot: value }]),
    key,
  ],
  ["consumeMany: options", (value, { limiter }) => limiter.consumeMany([], value), options],
  [
    "consumeMany: signal",
    (value, { limiter }) => limiter.consumeMany([{ key: "k" }], { signal: value }),
    nothing,
  ],
  ["consumeAtomic: requests", (value) => consumeAtomic(value), nothing],
  [
    "consumeAtomic: request",
    (value, { limiter }) => consumeAtomic([{ limiter, key: "k" }, value]),
    nothing,
  ],
  ["consumeAtomic: limiter", (value) => consumeAtomic([{ limiter: value, key: "k" }]), nothing],
  [
    "consumeAtomic: key",
    (value, { limiter }) =>
      consumeAtomic(
        [
          { limiter, key: "k" },
          { limiter, key: value },
        ],
        { atomic: false },
      ),
    key,
  ],
  [
    "consumeAtomic: cost",
    (value, { limiter }) =>
      consumeAtomic(
        [
          { limiter, key: "k" },
          { limiter, key: "k", cost: value },
        ],
        { atomic: false },
      ),
    units(0),
  ],
  [
    "consumeAtomic: slot",
    (value, { limiter }) =>
      consumeAtomic(
        [
          { limiter, key: "k" },
          { limiter, key: "k", slot: value },
        ],
        { atomic: false },
      ),
    key,
  ],
  [
    "consumeAtomic: policy",
    (value, { limiter }) => consumeAtomic([{ limiter, key: "k", policy: value }]),
    nothing,
  ],
  [
    "consumeAtomic: options",
    (value, { limiter, fresh }) => consumeAtomic([{ limiter, key: fresh() }], value),
    options,
  ],
  [
    "consumeAtomic: atomic",
    (value, { limiter, fresh }) => consumeAtomic([{ limiter, key: fresh() }], { atomic: value }),
    boolean,
  ],
  [
    "consumeAtomic: signal",
    (value, { limiter }) => consumeAtomic([{ limiter, key: "k" }], { signal: value }),
    nothing,
  ],
  ["wrap: fn", (value, { limiter }) => limiter.wrap(value, { key: "k" }), fn],
  ["wrap: options", (value, { limiter }) => limiter.wrap(() => 1, value), nothing],
  ["wrap: key", (value, { limiter }) => limiter.wrap(() => 1, { key: value }), either(key, fn)],
  ["wrap: its key", (value, { limiter }) => limiter.wrap(() => 1, { key: () => value })(), key],
  [
    "wrap: cost",
    (value, { limiter }) => limiter.wrap(() => 1, { key: "k", cost: value }),
    either(units(0), fn),
  ],
  [
    "wrap: its cost",
    (value, { limiter, fresh }) => limiter.wrap(() => 1, { key: fresh, cost: () => value })(),
    units(0, 1000),
  ],
  [
    "wrap: slot",
    (value, { limiter }) => limiter.wrap(() => 1, { key: "k", slot: value }),
    either(key, fn),
  ],
  [
    "wrap: its slot",
    (value, { limiter, fresh }) => limiter.wrap(() => 1, { key: fresh, slot: () => value })(),
    key,
  ],
  [
    "wrap: maxWait",
    (value, { limiter }) => limiter.wrap(() => 1, { key: "k", maxWait: value }),
    orInfinity(ms(0)),
  ],
  ["events: name", (value, { limiter }) => limiter.events.on(value, () => {}), nothing],
  ["events: listener", (value, { limiter }) => limiter.events.on("failure", value), fn],
  ["events: isWanted", (value, { limiter }) => limiter.events.on("failure", () => {}, value), fn],
];

const semaphoreCases: readonly Case[] = [
  ...verb(
    "Semaphore.acquire",
    async ({ semaphore }, k, o) => (await semaphore.acquire(k, o)).release(),
    { weight: whole(1, 10), maxWait: orInfinity(ms(0)), signal: nothing, slot: key },
  ),
  ...verb(
    "tryAcquire",
    async ({ semaphore }, k, o) => (await semaphore.tryAcquire(k, o))?.release(),
    { weight: whole(1, 10), slot: key },
  ),
  ...verb("withPermit", ({ semaphore }, k, o) => semaphore.withPermit(k, () => 1, o), {
    weight: whole(1, 10),
    maxWait: orInfinity(ms(0)),
    signal: nothing,
    slot: key,
  }),
  ["lendPermit: permit", (value) => lendPermit(value), nothing],
  ["renewLent: semaphore", (value) => renewLent(value, "t"), nothing],
  ["renewLent: ticket", (value, { semaphore }) => renewLent(semaphore, value), nothing],
  ["releaseLent: ticket", (value, { semaphore }) => releaseLent(semaphore, value), nothing],
  ["withPermit: fn", (value, { semaphore }) => semaphore.withPermit("k", value), fn],
  ...verb("setLimit", ({ semaphore }, k, o) => semaphore.setLimit(k, 5, o), { slot: key }),
  [
    "setLimit: limit",
    (value, { semaphore, fresh }) => semaphore.setLimit(fresh(), value),
    whole(1, 1e9),
  ],
  ...verb("inspect", ({ semaphore }, k, o) => semaphore.inspect(k, o), { slot: key }),
  ...verb("list", ({ semaphore }, k, o) => semaphore.list(k, o), { slot: key }),
  ...verb("reset", ({ semaphore }, k, o) => semaphore.reset(k, o), { slot: key }),
];

/** Of a constructor or another function of options. */
function made(
  what: string,
  make: (o: never) => unknown,
  each: Readonly<Record<string, Accepts>>,
  needed: object = {},
  all = namesOf(needed) === 0 ? options : nothing,
): Case[] {
  return [
    [`${what}: options`, (value) => make(value), all],
    [`${what}: unknown`, (value) => make({ ...needed, pasword: value } as never), nothing],
    ...Object.entries(each).map(
      ([option, accepts]): Case => [
        `${what}: ${option}`,
        (value) => make({ ...needed, [option]: value } as never),
        accepts,
      ],
    ),
  ];
}

/** A log of one attempt. */
const logged = await readLoggedAttempts([
  {
    name: "attempts",
    async *open() {
      const decision = new RateLimiter({ policy }).consumeSync("k");
      yield headerLine([policy]) + recordLine({ key: keyId("k"), cost: 1 }, decision);
    },
  },
]);
const limits = limitsOf([policy]);
const yaml = await loadYaml();
const configuration = {
  format: is("json", "yaml"),
  file: (value: unknown) => typeof value === "string",
  yaml: nothing,
};

/** What all adapters share. */
const besideCharge = {
  fields: either(is(false), fn),
  onDenied: fn,
  address: fn,
  maxWaiting: whole(0, 1e6),
};
const gateOptions = { ...besideCharge, charge: fn };
const charge = (): undefined => undefined;

/** Registers Fastify's plugin, and a route with its own options. */
async function registered(plugin: object, ofRoute?: unknown): Promise<void> {
  const onRoute: ((route: object) => void)[] = [];
  const instance = {
    addHook: (hook: string, handle: (route: object) => void) => {
      if (hook === "onRoute") onRoute.push(handle);
    },
    printRoutes: () => "",
  };
  await onFastify(instance as never, plugin);
  for (const handle of onRoute) handle({ config: { rateLimit: ofRoute } });
}

const fastifyOptions = { ...gateOptions, limiter: nothing, hook: nothing };
const graphqlOptions = { ...gateOptions, costs: options, limiters: options, key: fn };

const adapterCases: readonly Case[] = [
  ...Object.entries({ createGate, onExpress, onKoa, onNode, onWeb, onHono }).flatMap(
    ([what, make]: readonly [string, (o: never) => unknown]) =>
      made(what, make, gateOptions, { charge }),
  ),
  ...made(
    "onHono: second",
    (second) => onHono(new RateLimiter({ policy }), second),
    { ...besideCharge, charge: nothing },
    { address: charge },
  ),
  ...made("onFastify", registered, fastifyOptions, {}, options),
  ...made(
    "onFastify: limiter",
    registered,
    { charge: nothing, hook: nothing },
    { limiter: new RateLimiter({ policy }) },
    options,
  ),
  ...made(
    "config.rateLimit",
    (ofRoute) => registered({}, ofRoute),
    fastifyOptions,
    {},
    either(options, is(null, false, 0, "", Number.NaN)),
  ),
  ...made(
    "RateLimitModule.forRoot",
    (o) => RateLimitModule.forRoot(o),
    { ...gateOptions, limiters: options },
    {},
    options,
  ),
  ...made("RateLimit", RateLimit, gateOptions, { charge }, text),
  ...Object.entries({ useRateLimit, apolloRateLimit }).flatMap(([what, make]) =>
    made(what, make, graphqlOptions, { charge }),
  ),
  ["named limiter", (value) => RateLimitModule.forRoot({ limiters: { a: value } }), nothing],
  ["cost of a field", (value) => useRateLimit({ charge, costs: { "Query.a": value } }), units(0)],
  ["by.address: limiter", (value) => by.address(value), nothing],
  ["by.header: limiter", (value) => by.header(value, "x-api-key"), nothing],
];

const period = ms(1, PERIOD_MS);
const amount = units(0.001);
const outage = { onError: fn, onRecovery: fn };
const run = async (): Promise<never[]> => [];

const setupCases: readonly Case[] = [
  ...made(
    "RateLimiter",
    (o) => new RateLimiter(o),
    {
      policy: fn,
      store: nothing,
      namespace: name,
      identity: nothing,
      timeout: ms(1, 3600e3),
      onStoreFailure: nothing,
      breaker: either(is(false), options),
      denyCache: either(is(false), options),
      prefetch: nothing,
      blockFor: orInfinity(ms(1)),
      policyCache: options,
      replace: boolean,
      enforce: boolean,
      hooks: options,
    },
    { policy },
    // Then each call brings its own policy.
    options,
  ),
  ...made(
    "breaker",
    (breaker) => new RateLimiter({ policy, breaker }),
    {
      failures: whole(1, 1e6),
      probeEvery: ms(1, 3600e3),
    },
    {},
    either(is(false), options),
  ),
  ...made(
    "denyCache",
    (denyCache) => new RateLimiter({ policy, denyCache }),
    {
      maxAge: ms(1, 1000),
      maxKeys: whole(1, 1e6),
    },
    {},
    either(is(false), options),
  ),
  ...made("hooks", (hooks) => new RateLimiter({ policy, hooks }), {
    ...outage,
    onAllowed: fn,
    onDenied: fn,
    onNearLimit: fn,
  }),
  ...made(
    "onStoreFailure",
    (onStoreFailure) => new RateLimiter({ policy, onStoreFailure }),
    { fallback: nothing },
    { fallback: new RateLimiter({ policy }) },
  ),
  ...made(
    "identity",
    (identity) => new RateLimiter({ policy, identity }),
    { hmacSecret: (value) => typeof value === "string" && value.length > 15 },
    { hmacSecret: "a secret of some length" },
  ),
  ...made(
    "Semaphore",
    (o) => new Semaphore(o),
    {
      limit: whole(1, 1e9),
      leaseDuration: ms(100, 86_400e3),
      store: nothing,
      namespace: name,
      name,
      identity: nothing,
      timeout: ms(1, 3600e3),
      breaker: either(is(false), options),
      hooks: options,
    },
    { limit: 5 },
  ),
  ...made("MemoryStore", (o) => new MemoryStore(o), { clock: nothing, maxKeys: whole(1, 2 ** 24) }),
  ...made(
    "RedisStore",
    (o) => new RedisStore(o),
    {
      client: fn,
      subscriber: is(false),
      maxBatch: whole(1, 1000),
      maxInFlight: whole(1, 1000),
      partitions: whole(1, 16_384),
      hooks: options,
      clock: nothing,
      // All of these are about a connection of the store's own.
      url: nothing,
      cluster: nothing,
      tls: nothing,
      username: nothing,
      password: nothing,
    },
    { client: run },
  ),
  ...made(
    "RedisStore by url",
    (o) => new RedisStore(o),
    {
      url: is(`redis://:${SECRET}@h`),
      client: nothing,
      subscriber: is(false),
      cluster: boolean,
      tls: (value) => typeof value === "boolean" || (typeof value === "object" && value !== null),
      username: text,
      password: text,
    },
    { url: "redis://h" },
  ),
  ...made(
    "check",
    (o) => new RedisStore({ client: run, subscriber: false }).check(o),
    { namespace: name, user: (value) => typeof value === "string" && value !== "" },
    {},
  ),
  [
    "connect: url",
    (value) => RedisStore.connect(value),
    (value) => value === `redis://:${SECRET}@h`,
  ],
  ["connect: ?db=2", () => RedisStore.connect("redis://h?db=2"), nothing],
  ["connect: ?tls=true", () => RedisStore.connect("redis://h/?tls=true"), nothing],
  ["connect: #2", () => RedisStore.connect("redis://h/2#2"), nothing],
  ["connect: Cluster", () => RedisStore.connect("redis://h/2", { cluster: true }), nothing],
  ...["cluster", "username", "password"].map(
    (option): Case => [
      `connect: ${option}`,
      (value) =>
        typeof value === "string" || typeof value === "boolean"
          ? refuse()
          : RedisStore.connect("redis://h", { [option]: value }),
      nothing,
    ],
  ),
  ...made(
    "tokenBucket",
    tokenBucket,
    {
      limit: either(is(0), amount),
      period,
      burst: amount,
      refill: nothing,
      name,
      enforce: boolean,
    },
    { limit: 5, period: "1s" },
  ),
  ...made(
    "gcra",
    gcra,
    { limit: either(is(0), amount), period, burst: amount, name },
    { limit: 5, period: "1s" },
  ),
  ...made(
    "leakyBucket",
    leakyBucket,
    { limit: either(is(0), amount), period, capacity: amount, name, enforce: boolean },
    { limit: 5, period: "1s", capacity: 5 },
  ),
  ...made(
    "fixedWindow",
    fixedWindow,
    { limit: either(is(0), amount), window: period, align: nothing, name, enforce: boolean },
    { limit: 5, window: "1s" },
  ),
  ...made(
    "slidingWindow",
    slidingWindow,
    { limit: either(is(0), amount), window: period, name, enforce: boolean },
    { limit: 5, window: "1s" },
  ),
  ...made(
    "slidingLog",
    slidingLog,
    { window: period, name, enforce: boolean },
    { limit: 5, window: "1s" },
  ),
  ...made(
    "calendarWindow",
    calendarWindow,
    {
      limit: either(is(0), amount),
      unit: nothing,
      timeZone: nothing,
      weekStartsOn: nothing,
      name,
      enforce: boolean,
    },
    { limit: 5, unit: "day" },
  ),
  ...[limitFetch, limitInterceptor].flatMap((make) =>
    made(make.name, make, {
      limiter: nothing,
      semaphore: nothing,
      key: either(key, fn),
      cost: either(units(0), fn),
      maxWait: orInfinity(ms(0)),
      releaseAt: nothing,
      obey: boolean,
      pauseStatuses: nothing,
      share: boolean,
      maxPause: ms(0),
      retries: either(is(false), options),
      clock: nothing,
      random: fn,
    }),
  ),
  ...made(
    "retries",
    (retries) => limitFetch({ retries }),
    {
      attempts: whole(0, 100),
      statuses: nothing,
      baseDelay: ms(0),
      maxDelay: ms(0),
    },
    {},
    either(is(false), options),
  ),
  ["limitFetch: fetch", (value) => limitFetch({ fetch: value }), fn],
  ["limited: options", (value) => limited(value), nothing],
  ["limited: limiter", (value) => limited({ limiter: value, key: "k" }), nothing],
  ["ManualClock: startMs", (value) => new ManualClock(value), Number.isFinite],
  ["advance: ms", (value) => new ManualClock().advance(value), ms(0)],
  ["set: nowUs", (value) => new ManualClock().set(value), Number.isFinite],
  ["PureStore: clock", (value) => new PureStore(value), nothing],
  ...made(
    "AttemptLog",
    (o) => new AttemptLog(o),
    {
      file: (value) => typeof value === "string" && value !== "",
      sample: (value) => typeof value === "number" && value >= 0 && value <= 1,
      maxFileBytes: whole(1000, 1e12),
      files: whole(1, 1000),
      maxQueueBytes: whole(1000, 1e9),
      clear: clearEntries,
      onError: fn,
    },
    { file: "attempts.jsonl" },
  ),
  [
    "AttemptLog.add: limiter",
    (value) => new AttemptLog({ file: "attempts.jsonl" }).add(value),
    nothing,
  ],
  ...made(
    "AttemptLog.add",
    (o) => new AttemptLog({ file: "attempts.jsonl" }).add(new RateLimiter({ policy }), o)(),
    { name },
  ),
  ...made(
    "RecentAttempts",
    (o) => {
      new RecentAttempts(o).close();
    },
    { most: whole(1, 1e6), maxBytes: whole(1000, 1e9), clear: clearEntries },
    {},
  ),
  ["RecentAttempts.add: limiter", (value) => new RecentAttempts().add(value), nothing],
  ...made("RecentAttempts.add", (o) => new RecentAttempts().add(new RateLimiter({ policy }), o)(), {
    name,
  }),
  ["suggestLimits: log", (value) => suggestLimits(value, { limits, percent: 99 }), nothing],
  ...made(
    "suggestLimits",
    (o) => suggestLimits(logged, o),
    {
      limits: nothing,
      percent: (value) => typeof value === "number" && value > 0 && value <= 100,
      onProgress: fn,
    },
    { limits, percent: 99 },
  ),
  ["simulate: log", (value) => simulate(value, { limits }), nothing],
  ...made(
    "simulate",
    (o) => simulate(logged, o),
    {
      limits: nothing,
      against: nothing,
      top: whole(0, 1e6),
      onProgress: fn,
    },
    { limits },
  ),
  ...made("importEnvoy", (o) => importEnvoy("domain: edge", o), configuration, { yaml }),
  ...made("importLimitador", (o) => importLimitador("[]", o), configuration, { yaml }),
  ["publish: publishers", (value) => publish(value), nothing],
  ["publish: publisher", (value) => publish([value]), nothing],
  ["instrument: telemetry", (value) => instrument(value, []), nothing],
  ["instrument: measured", (value) => instrument({ trace }, value), nothing],
  ["instrument: measured of it", (value) => instrument({ trace }, [value]), nothing],
  ...made(
    "instrument: telemetry",
    (o) => instrument(o, []),
    { meter: nothing, trace: nothing, tracer: nothing },
    {},
    nothing,
  ),
  ...made("instrument", (o) => instrument({ trace, tracer: trace.getTracer("t") }, [], o), {
    store: name,
    spans: boolean,
    exposeIds: boolean,
  }),
  ...made("publish", (o) => publish([], o), {
    exposeKeys: boolean,
    exposeIds: boolean,
    store: name,
  }),
  ...made(
    "report",
    (o) => void report(o).end(),
    {
      store: nothing,
      limiters: nothing,
      semaphores: nothing,
      every: ms(100, 60_000),
      top: whole(1, 1000),
      name,
      hooks: options,
    },
    { store: new MemoryStore(), limiters: [] },
  ),
  [
    "report: limiter",
    (value) => report({ store: new MemoryStore(), limiters: [value] as never }),
    nothing,
  ],
  [
    "report: semaphore",
    (value) => report({ store: new MemoryStore(), limiters: [], semaphores: [value] as never }),
    nothing,
  ],
  ...made(
    "report hooks",
    (hooks) => void report({ store: new MemoryStore(), limiters: [], hooks }).end(),
    { onError: fn },
  ),
  ...made(
    "readReports",
    readReports,
    { store: nothing, minutes: whole(1, 60), name },
    { store: new MemoryStore() },
  ),
  ...made(
    "storeConformance",
    storeConformance,
    { createStore: fn, atomicAcrossKeys: boolean, steps: whole(1, 1e9), seed: whole(0, 2 ** 32) },
    { createStore: () => new MemoryStore(), traces: 1 },
  ),
  ...made(
    "httpConformance",
    httpConformance,
    { subject: nothing, createStore: fn },
    { subject: { name: "mine", start: () => undefined } },
  ),
  ["parseRateLimit: options", (value) => parseRateLimit({}, value), options],
  ["parseRateLimit: nowMs", (value) => parseRateLimit({}, { nowMs: value }), Number.isFinite],
  ["formatRateLimit: limits", (value) => formatRateLimit(value), nothing],
  [
    "formatRateLimit: remaining",
    (value) => formatRateLimit([{ name: "a", remaining: value }]),
    whole(0, 1e15),
  ],
  [
    "formatRetryAfter",
    (value) => formatRetryAfter(value),
    (value) => typeof value === "number" && whole(0, 999_999_999_999_999)(Math.ceil(value / 1e3)),
  ],
  ["formatRateLimitPolicy: policies", (value) => formatRateLimitPolicy(value), nothing],
  [
    "formatRateLimitPolicy: quota",
    (value) => formatRateLimitPolicy([{ name: "a", quota: value }]),
    whole(0, 1e15),
  ],
  ["rateLimitFields: input", (value) => rateLimitFields(value), nothing],
  [
    "rateLimitFields: form",
    (value) => rateLimitFields({ policies: [], limits: [] }, value),
    nothing,
  ],
  [
    "rateLimitFields: options",
    (value) => rateLimitFields({ policies: [], limits: [] }, "draft-11", value),
    options,
  ],
  ["decisionFields: charged", (value) => decisionFields(value), nothing],
  ["decisionFields: item", (value) => decisionFields([value]), nothing],
  ["decisionFields: options", (value) => decisionFields([], value), options],
  ["decisionFields: form", (value) => decisionFields([], { form: value }), either(is(false), fn)],
  ["decisionFields: nowMs", (value) => decisionFields([], { nowMs: value }), Number.isFinite],
  ["decisionFields: unknown", (value) => decisionFields([], { from: value } as never), nothing],
  ...made(
    "clientAddress",
    clientAddress,
    { trust: whole(0, 100), header: fieldName, connection: fn },
    { trust: 1 },
  ),
  ["addressKey: address", (value) => addressKey(value), text],
  ["addressKey: ipv6Prefix", (value) => addressKey("::1", value), whole(1, 128)],
  ["by.header: name", (value) => by.header(new RateLimiter({ policy }), value), fieldName],
  ["auditLogs: sources", (value) => auditLogs(value), nothing],
  ["auditLogs: policies", (value) => auditLogs([], value), nothing],
  ["auditFiles: files", (value) => auditFiles(value), nothing],
];

function refuse(): never {
  throw new InvalidOptionError("skipped", 0, "nothing: it may be what is asked for");
}

/** What a call comes to. */
async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return "accepted";
  } catch (error) {
    return error;
  }
}

/** What is wrong with how a value was refused, if it was to be; "" if all is well. */
function faultOf(outcome: unknown, isFine: boolean): string {
  if (!(outcome instanceof InvalidOptionError)) return isFine ? "" : `came to ${String(outcome)}`;
  if (isFine) return `was refused: ${outcome.message}`;
  const shown = [
    outcome.message,
    JSON.stringify(outcome),
    inspect(outcome, { showHidden: true, depth: 9 }),
  ];
  if (shown.join().includes(SECRET)) return `shows a secret: ${shown.join()}`;
  return outcome.value instanceof Object ? "keeps an object" : "";
}

const someRules = new PolicySet({ source: { rules: [] } });
const oneRule = new PolicySet({
  source: { rules: [{ name: "api", policy: { algorithm: "gcra", limit: 1, period: "1s" } }] },
});
const somePublished = new PublishedPolicies({ store: new MemoryStore() });
const isText: Accepts = (value) => typeof value === "string";
const isPath: Accepts = (value) => typeof value === "string" && value !== "";
const isObject: Accepts = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const policySetCases: readonly Case[] = [
  ["PolicySet: options", (value) => new PolicySet(value), nothing],
  ["PolicySet: source", (value) => new PolicySet({ source: value }), nothing],
  [
    "PolicySet: every",
    (value) => new PolicySet({ source: { rules: [] }, every: value }),
    ms(100, 3600e3),
  ],
  ["PolicySet: mode", (value) => new PolicySet({ source: { rules: [] }, mode: value }), nothing],
  [
    "PolicySet: cacheFile",
    (value) => new PolicySet({ source: { rules: [] }, cacheFile: value }),
    nothing,
  ],
  ["PolicySet: request", (value) => someRules.consume(value), nothing],
  ["PolicySet: entries", (value) => someRules.consume({ entries: value }), isObject],
  ["PolicySet: rule", (value) => someRules.consume({ entries: {}, rule: value }), nothing],
  ["PolicySet: cost", (value) => someRules.consume({ entries: {}, cost: value }), units(0)],
  ["PolicySet: plan", (value) => someRules.consume({ entries: {}, plan: value }), isText],
  ["PolicySet: slot", (value) => someRules.consume({ entries: {}, slot: value }), key],
  ["PolicySet: signal", (value) => someRules.consume({ entries: {}, signal: value }), nothing],
  [
    "PolicySet: policy",
    (value) => someRules.consume({ entries: {}, policy: value }),
    (value) => value === undefined,
  ],
  ["PolicySet: requests", (value) => someRules.consumeMany(value), nothing],
  ["PolicySet: one of them", (value) => someRules.consumeMany([value]), nothing],
  [
    "PolicySet: the signal of one",
    (value) => someRules.consumeMany([{ entries: {}, signal: value } as never]),
    nothing,
  ],
  ["PolicySet: options of many", (value) => someRules.consumeMany([], value), options],
  ["PolicySet: atomic", (value) => someRules.consumeMany([], { atomic: value }), boolean],
  ["PolicySet: signal of many", (value) => someRules.consumeMany([], { signal: value }), nothing],
  ["PolicySet: giveBack", (value) => someRules.giveBack(value), nothing],
  ["PolicySet: refund", (value) => someRules.refund(value), nothing],
  ["PolicySet: settle", (value) => someRules.settle(value, {}), nothing],
  [
    "consumeRulesUpTo: cost",
    (value) => consumeRulesUpTo(someRules, { entries: {}, cost: value }),
    whole(1, 1e9),
  ],
  ["consumeRulesNow: rules", (value) => consumeRulesNow(value, { entries: {} }), nothing],
  ["consumeRulesNow: request", (value) => consumeRulesNow(someRules, value), nothing],
  ["penalizeRules: rules", (value) => penalizeRules(value, { entries: {} }), nothing],
  ["penalizeRules: request", (value) => penalizeRules(someRules, value), nothing],
  [
    "reserveRules: maxWait",
    (value) => reserveRules(someRules, { entries: {} }, { maxWait: value }),
    orInfinity(ms(0)),
  ],
  ...[unblockRuleKey, resetRuleKey, peekRuleKey, ruleKeyId].flatMap((ask): Case[] => [
    [`${ask.name}: rules`, (value) => ask(value, { rule: "api", entries: {} }), nothing],
    [`${ask.name}: target`, (value) => ask(oneRule, value), nothing],
    [`${ask.name}: key`, (value) => ask(oneRule, { rule: "api", key: value }), is("all")],
    [`${ask.name}: id`, (id) => ask(oneRule, { rule: "api", id }), nothing],
  ]),
  [
    "blockRuleKey: duration",
    (value) => blockRuleKey(oneRule, { rule: "api", entries: {} }, value),
    orInfinity(ms(1)),
  ],
  ["cancelReserved: ticket", (value) => cancelReserved(someRules, value), nothing],
  ["PolicySet: nonce", (value) => someRules.giveBack({ entries: {}, nonce: value }), name],
  ["rulesFields: decision", (value) => rulesFields(value), nothing],
  ["PolicySet: note", (value) => someRules.replace({ rules: [] }, value), options],
  ["PolicySet: setMode", (value) => someRules.setMode(value), nothing],
  ["PoliciesFile: options", (value) => new PoliciesFile(value), nothing],
  ["PoliciesFile: path", (value) => new PoliciesFile({ path: value }), isPath],
  ["PublishedPolicies: options", (value) => new PublishedPolicies(value), nothing],
  ["PublishedPolicies: store", (value) => new PublishedPolicies({ store: value }), nothing],
  [
    "PublishedPolicies: name",
    (value, { limiter: { store } }) => new PublishedPolicies({ store, name: value }),
    name,
  ],
  ["publish: options", (value) => somePublished.publish({ rules: [] }, value), nothing],
];

let keys = 0;
const fresh = (): string => `key ${(keys += 1)}`;
const semaphore = new Semaphore({ limit: 10 });

let calls = 0;

function suite(
  cases: readonly Case[],
  store: Store & { readonly calls?: readonly unknown[] },
): void {
  test.each(cases)("%s", async (_, call, accepts) => {
    const faults: string[] = [];
    for (const value of values) {
      calls += 1;
      const limiter = new RateLimiter({ policy, store, denyCache: false });
      const before = store.calls?.length;
      const isFine = accepts(value);
      const outcome = await outcomeOf(() => call(value as never, { limiter, semaphore, fresh }));
      const fault = faultOf(outcome, isFine);
      if (fault !== "") faults.push(`${inspect(value)} ${fault}`);
      if (!isFine && store.calls?.length !== before) faults.push(`${inspect(value)} asked`);
      await limiter.close();
    }
    expect(faults).toEqual([]);
  });
}

describe("a limiter in memory", () => {
  suite(limiterCases, new MemoryStore({ clock: new ManualClock() }));
});

describe("a limiter on a store outside", () => {
  suite(limiterCases, new OutsideStore());
});

describe("a semaphore", () => {
  suite(semaphoreCases, new MemoryStore());
});

describe("an adapter", () => {
  suite(adapterCases, new MemoryStore());
});

describe("a policy set", () => {
  suite(policySetCases, new MemoryStore());
});

describe("what is made of options", () => {
  suite(setupCases, new MemoryStore());
});

test("that were some thousands", async () => {
  expect(calls).toBeGreaterThan(2300);
  await semaphore.close();
});
