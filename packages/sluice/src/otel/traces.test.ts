/** What OpenTelemetry's real SDK exports of calls: events on the spans of callers, and spans with the right parents. */
import { type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { meterForTest, tracerForTest } from "../../test/support/otel.js";
import { keyId } from "../audit/index.js";
import {
  consumeAtomic,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  Semaphore,
  StoreUnavailableError,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { instrument, type InstrumentOptions, type Telemetry } from "./index.js";

const policy = tokenBucket({ name: "api", limit: 1, period: "1s" });
const lost = new StoreUnavailableError("connection lost");

function limiterAt(
  clock = new ManualClock(),
  options: Partial<RateLimiterOptions> = {},
): RateLimiter<MemoryStore> {
  return new RateLimiter({ policy, ...options, store: new MemoryStore({ clock }) });
}

function held(options: Partial<RateLimiterOptions<HeldStore>> = {}): {
  readonly store: HeldStore;
  readonly limiter: RateLimiter<HeldStore>;
} {
  const store = new HeldStore();
  const hooks = { onError: () => {} };
  const limiter = new RateLimiter({
    policy,
    timeout: "30s",
    breaker: false,
    hooks,
    ...options,
    store,
  });
  onTestFinished(() => limiter.close());
  return { store, limiter };
}

function instrumented(
  telemetry: Telemetry,
  measured: readonly (RateLimiter | Semaphore)[],
  options?: InstrumentOptions,
): () => void {
  const end = instrument(telemetry, measured, options);
  onTestFinished(end);
  return end;
}

/** Those that Sluice made. */
function own(spans: readonly ReadableSpan[]): readonly ReadableSpan[] {
  return spans.filter(({ name }) => name.startsWith("sluice."));
}

function named(spans: readonly ReadableSpan[], name: string): ReadableSpan {
  return spans.find((span) => span.name === name) ?? expect.unreachable(name);
}

describe("the active span", () => {
  test("gets an event of a denial and none of what is allowed, or only asks", async () => {
    const { ended, inRequest } = tracerForTest();
    const limiter = limiterAt();
    instrumented({ trace }, [limiter]);
    await inRequest("first", () => limiter.consume("user:42"));
    await inRequest("second", () => limiter.consume("user:42", { cost: 0.5 }));
    await inRequest("third", () => limiter.peek("user:42"));
    limiter.consumeSync("user:42");
    expect(ended().map(({ name, events }) => [name, events.length])).toEqual([
      ["first", 0],
      ["second", 1],
      ["third", 0],
    ]);
    expect(ended()[1]?.events[0]).toMatchObject({ name: "sluice.decision" });
    expect(ended()[1]?.events[0]?.attributes).toEqual({
      "sluice.limiter": "sluice",
      "sluice.policy": "api",
      "sluice.reason": "quota",
      "sluice.source": "store",
      "sluice.outcome": "denied",
      "sluice.cost": 0.5,
      "sluice.limit": 1,
      "sluice.remaining": 0,
      "sluice.retry_after_ms": 500,
    });
    expect(
      JSON.stringify(ended().map(({ attributes, events }) => [attributes, events])),
    ).not.toContain("user:");
    expect(ended().map(({ status }) => status.code)).toEqual([0, 0, 0]);
  });

  test.each([
    ["local", "allowed", "ok"],
    ["open", "allowed", "store"],
    ["closed", "denied", "store"],
  ] as const)(
    "gets an event of a decision without the store: %s",
    async (onStoreFailure, outcome, reason) => {
      const { ended, inRequest } = tracerForTest();
      const { store, limiter } = held({ onStoreFailure });
      instrumented({ trace }, [limiter]);
      const names = ["ann", "bob"];
      const calls = names.map((name) => inRequest(name, () => limiter.consume(name)));
      await inRequest("whoever answers", async () => store.settleAll(lost));
      await Promise.all(calls);
      const source = onStoreFailure === "local" ? "local" : `fail-${onStoreFailure}`;
      for (const name of names) {
        const { events } = named(ended(), name);
        expect(events.map(({ attributes }) => attributes)).toMatchObject([
          { "sluice.outcome": outcome, "sluice.reason": reason, "sluice.source": source },
        ]);
      }
      expect(named(ended(), "whoever answers").events).toEqual([]);
    },
  );

  test("gets events of shadow mode, of each limiter of consumeAtomic, and of consumeUpTo", async () => {
    const { ended, inRequest } = tracerForTest();
    const store = new MemoryStore({ clock: new ManualClock() });
    const shadow = new RateLimiter({ policy, store, namespace: "shadow", enforce: false });
    const strict = new RateLimiter({ policy, store, namespace: "strict" });
    instrumented({ trace }, [shadow, strict]);
    await inRequest("first", async () => {
      for (let i = 0; i < 2; i++) await shadow.consume("k");
      await strict.consumeUpTo("k", { cost: 5 });
      await strict.consumeUpTo("k", { cost: 5 });
      await consumeAtomic([
        { limiter: shadow, key: "k" },
        { limiter: strict, key: "k" },
      ]);
    });
    const seen = named(ended(), "first").events.map(({ attributes = {} }) => [
      attributes["sluice.limiter"],
      attributes["sluice.outcome"],
    ]);
    expect(seen).toEqual([
      ["shadow", "shadow_denied"],
      ["strict", "denied"],
      ["shadow", "shadow_denied"],
      ["strict", "denied"],
    ]);
  });

  test("gets one event of an acquire that is refused, and none while it waits", async () => {
    const { ended, inRequest } = tracerForTest();
    const clock = new ManualClock();
    const window = fixedWindow({ name: "window", limit: 1, window: "1s" });
    const limiter = limiterAt(clock, { policy: window });
    const semaphore = new Semaphore({ limit: 1, name: "jobs" });
    instrumented({ trace }, [limiter, semaphore]);
    await limiter.acquire("k");
    const waiting = inRequest("waits", () => limiter.acquire("k"));
    await expect
      .poll(async () => {
        await clock.advanceAsync(500);
        return ended().map(({ name }) => name);
      })
      .toContain("waits");
    expect(named(ended(), "waits").events).toEqual([]);
    await waiting;
    await inRequest("refused", async () => {
      await expect(limiter.acquire("k", { maxWait: 1 })).rejects.toThrow("within");
    });
    const permit = await semaphore.acquire("k");
    await inRequest("semaphore", async () => {
      await expect(semaphore.acquire("k", { maxWait: 1 })).rejects.toThrow("within");
    });
    await permit.release();
    await semaphore.close();
    expect(named(ended(), "refused").events.map(({ attributes }) => attributes)).toMatchObject([
      { "sluice.limiter": "sluice", "sluice.policy": "window", "sluice.outcome": "refused" },
    ]);
    expect(named(ended(), "semaphore").events.map(({ attributes }) => attributes)).toEqual([
      {
        "sluice.semaphore": "sluice:jobs~semaphore",
        "sluice.cost": 1,
        "sluice.outcome": "refused",
      },
    ]);
  });

  test("shows the hash of a key where that was asked for, and never the key", async () => {
    const { ended, inRequest } = tracerForTest();
    const limiter = limiterAt();
    instrumented({ trace }, [limiter], { exposeIds: true });
    limiter.consumeSync("user:42", { slot: "org:7" });
    await inRequest("denied", () => limiter.consume("user:42", { slot: "org:7" }));
    expect(ended()[0]?.events[0]?.attributes?.["sluice.key_id"]).toBe(
      `{${keyId("org:7")}}${keyId("user:42")}`,
    );
  });

  test("that does not record, or is none, gets nothing", async () => {
    const limiter = limiterAt();
    const addEvent = vi.fn();
    const silent = { isRecording: () => false, addEvent } as unknown as Span;
    const actives = [undefined, silent];
    instrumented({ trace: { getActiveSpan: () => actives.shift() } }, [limiter]);
    const failed = vi.fn();
    limiter.events.on("failure", failed);
    for (let i = 0; i < 3; i++) await limiter.consume("k");
    expect(actives).toEqual([]);
    expect([addEvent.mock.calls, failed.mock.calls]).toEqual([[], []]);
  });
});

describe("spans", () => {
  test("are made of every verb that has a decision, in the call's own trace, whoever answers", async () => {
    const { tracer, ended, inRequest } = tracerForTest();
    const { store, limiter } = held();
    instrumented({ tracer }, [limiter], { spans: true });
    const verbs: Record<string, () => Promise<unknown>> = {
      consume: () => limiter.consume("k", { cost: 0 }),
      consumeUpTo: () => limiter.consumeUpTo("k", { cost: 1 }),
      peek: () => limiter.peek("k"),
      reserve: () => limiter.reserve("k"),
      refund: () => limiter.refund("k", 1),
      penalize: () => limiter.penalize("k", 1),
    };
    const calls = Object.entries(verbs).map(([name, call]) => inRequest(name, call));
    const many = inRequest("many", () => limiter.consumeMany([{ key: "a" }, { key: "b" }]));
    await inRequest("whoever answers", async () => store.settleAll());
    await Promise.all([...calls, many]);
    const parents = new Map(ended().map((span) => [span.spanContext().spanId, span]));
    const pairs = own(ended()).map((span) => {
      const parent = parents.get(span.parentSpanContext?.spanId ?? "");
      expect(span.spanContext().traceId).toBe(parent?.spanContext().traceId);
      return `${span.name} in ${parent?.name}`;
    });
    expect(pairs.toSorted()).toEqual(
      [
        ...Object.keys(verbs).map((verb) => `sluice.${verb} in ${verb}`),
        "sluice.consume in many",
        "sluice.consume in many",
      ].toSorted(),
    );
  });

  test("have the decision's attributes; a denial is not an error", async () => {
    const { tracer, ended } = tracerForTest();
    const limiter = limiterAt();
    instrumented({ tracer }, [limiter], { spans: true });
    await limiter.consume("user:42");
    limiter.consumeSync("user:42");
    const common = { "sluice.limiter": "sluice", "sluice.policy": "api", "sluice.cost": 1 };
    expect(ended().map(({ attributes }) => attributes)).toEqual([
      {
        ...common,
        "sluice.reason": "ok",
        "sluice.source": "store",
        "sluice.outcome": "allowed",
        "sluice.limit": 1,
        "sluice.remaining": 0,
      },
      {
        ...common,
        "sluice.reason": "quota",
        "sluice.source": "store",
        "sluice.outcome": "denied",
        "sluice.limit": 1,
        "sluice.remaining": 0,
        "sluice.retry_after_ms": 1000,
      },
    ]);
    for (const { kind, status, events } of ended()) {
      expect([kind, status, events]).toEqual([
        SpanKind.INTERNAL,
        { code: SpanStatusCode.UNSET },
        [],
      ]);
    }
  });

  test("last as long as the call", async () => {
    const { tracer, ended } = tracerForTest();
    const { store, limiter } = held();
    instrumented({ tracer }, [limiter], { spans: true });
    let durationMs = 0;
    limiter.events.on("decision", (event) => {
      durationMs = event.durationMs;
    });
    const before = Date.now();
    const call = limiter.consume("k");
    const began = performance.now();
    await expect.poll(() => performance.now() - began).toBeGreaterThan(5);
    store.settleAll();
    await call;
    const [span] = ended();
    const ms = ([s, ns]: readonly [number, number] = [0, 0]): number => s * 1e3 + ns / 1e6;
    expect(durationMs).toBeGreaterThan(4);
    expect(ms(span?.duration)).toBeCloseTo(durationMs, 1);
    expect(ms(span?.startTime)).toBeGreaterThan(before - 3);
    expect(ms(span?.endTime)).toBeLessThan(Date.now() + 3);
  });

  test("have the status ERROR and error.type where the call throws; what its caller gave up is no error", async () => {
    const { tracer, ended, inRequest } = tracerForTest();
    const { store, limiter } = held({ onStoreFailure: "throw" });
    instrumented({ tracer }, [limiter], { spans: true });
    const controller = new AbortController();
    const calls = [
      inRequest("fails", () => limiter.consume("k")),
      inRequest("aborts", () => limiter.consume("k", { signal: controller.signal })),
      inRequest("rejects", () => limiter.consume("k", { policy: 5 as never })),
    ];
    controller.abort();
    await inRequest("whoever answers", async () => store.settleAll(lost));
    for (const call of calls) await expect(call).rejects.toThrow(Error);
    const requests = new Map(ended().map((span) => [span.spanContext().spanId, span.name]));
    const seen = own(ended()).map(({ parentSpanContext, status, attributes, events }) => {
      expect(events).toEqual([]);
      return [requests.get(parentSpanContext?.spanId ?? ""), status, attributes];
    });
    const known = { "sluice.limiter": "sluice", "sluice.cost": 1 };
    const failed = { ...known, "sluice.outcome": "failed", "error.type": "STORE_UNAVAILABLE" };
    expect(seen).toEqual([
      ["aborts", { code: SpanStatusCode.UNSET }, { ...known, "sluice.outcome": "aborted" }],
      ["fails", { code: SpanStatusCode.ERROR }, failed],
    ]);
  });
});

describe("the span of an acquire", () => {
  test("lasts from the call to the start, with what was decided on the way", async () => {
    const { tracer, ended, inRequest } = tracerForTest();
    const clock = new ManualClock();
    const limiter = limiterAt(clock);
    instrumented({ tracer, trace }, [limiter], { spans: true });
    await inRequest("first", () => limiter.acquire("k"));
    const second = inRequest("second", () => limiter.acquire("k"));
    await expect
      .poll(async () => {
        await clock.advanceAsync(500);
        return ended().map(({ name }) => name);
      })
      .toContain("second");
    await second;
    const spans = own(ended());
    expect(spans.map(({ name }) => name)).toEqual(["sluice.acquire", "sluice.acquire"]);
    const [, span] = spans;
    expect(span?.parentSpanContext?.spanId).toBe(named(ended(), "second").spanContext().spanId);
    expect(span?.events.map(({ name }) => name)).toEqual(["sluice.decision", "sluice.may_start"]);
    expect(span?.events[0]?.attributes).toMatchObject({ "sluice.outcome": "allowed" });
    expect(span?.events[1]?.attributes).toEqual({
      "sluice.late_ms": expect.any(Number) as unknown,
    });
    expect(span?.attributes).toMatchObject({
      "sluice.limiter": "sluice",
      "sluice.policy": "api",
      "sluice.source": "store",
      "sluice.cost": 1,
      "sluice.outcome": "started",
    });
    expect(span?.status).toEqual({ code: SpanStatusCode.UNSET });
    expect(named(ended(), "second").events).toEqual([]);
  });

  test("says how it ended otherwise: refused, aborted, or failed", async () => {
    const { tracer, ended } = tracerForTest();
    const limiter = limiterAt();
    const semaphore = new Semaphore({ limit: 1, name: "jobs" });
    instrumented({ tracer }, [limiter, semaphore], { spans: true });
    await limiter.acquire("k");
    const permit = await semaphore.acquire("k", { weight: 1 });
    await expect(limiter.acquire("k", { maxWait: 1 })).rejects.toThrow("within");
    for (const acquire of [limiter, semaphore].map((each) => each.acquire.bind(each))) {
      const controller = new AbortController();
      const given = acquire("k", { signal: controller.signal });
      controller.abort();
      await expect(given).rejects.toThrow("aborted");
    }
    const closed = semaphore.acquire("k");
    await semaphore.close();
    await expect(closed).rejects.toThrow("closed");
    await permit.release();
    const seen = ended().map(({ attributes, status }) => [
      attributes["sluice.limiter"] ?? attributes["sluice.semaphore"],
      attributes["sluice.outcome"],
      status.code,
      attributes["error.type"],
    ]);
    expect(seen).toEqual([
      ["sluice", "started", SpanStatusCode.UNSET, undefined],
      ["sluice:jobs~semaphore", "started", SpanStatusCode.UNSET, undefined],
      ["sluice", "refused", SpanStatusCode.UNSET, undefined],
      ["sluice", "aborted", SpanStatusCode.UNSET, undefined],
      ["sluice:jobs~semaphore", "aborted", SpanStatusCode.UNSET, undefined],
      ["sluice:jobs~semaphore", "failed", SpanStatusCode.ERROR, "CLOSED"],
    ]);
  });
});

test("an acquire that throws is one span, whatever its attempts came to", async () => {
  const { tracer, ended } = tracerForTest();
  const { store, limiter } = held({ onStoreFailure: "throw" });
  instrumented({ tracer }, [limiter], { spans: true });
  const call = limiter.acquire("k", { maxWait: 0 });
  store.settleAll(lost);
  await expect(call).rejects.toBe(lost);
  expect(ended().map(({ name, status, attributes }) => [name, status.code, attributes])).toEqual([
    [
      "sluice.acquire",
      SpanStatusCode.ERROR,
      {
        "sluice.limiter": "sluice",
        "sluice.cost": 1,
        "sluice.outcome": "failed",
        "error.type": "STORE_UNAVAILABLE",
      },
    ],
  ]);
});

describe("instrument", () => {
  test("makes one span and one event where it was called twice, until both are ended", async () => {
    const { tracer, ended, inRequest } = tracerForTest();
    const limiter = limiterAt();
    limiter.consumeSync("k");
    const options = { spans: true };
    const ends = [
      instrumented({ tracer, trace }, [limiter], options),
      instrumented({ tracer, trace }, [limiter], { ...options, exposeIds: true }),
    ];
    await inRequest("both", () => limiter.consume("k"));
    ends[1]?.();
    ends[1]?.();
    await inRequest("one", () => limiter.consume("k"));
    ends[0]?.();
    await inRequest("none", () => limiter.consume("k"));
    expect(own(ended()).map(({ attributes }) => attributes["sluice.key_id"])).toEqual([
      keyId("k"),
      undefined,
    ]);
    expect(["both", "one", "none"].map((name) => named(ended(), name).events.length)).toEqual([
      1, 1, 0,
    ]);
    const { decision, undecided, waitBegun, waitEnded } = limiter.events.to;
    expect([decision, undecided, waitBegun, waitEnded]).toEqual(Array(4).fill(undefined));
  });

  test("ends the spans that are under way when it is ended, and they get nothing more", async () => {
    const { tracer, ended } = tracerForTest();
    const clock = new ManualClock();
    const limiter = limiterAt(clock);
    limiter.consumeSync("k");
    const end = instrument({ tracer }, [limiter], { spans: true });
    const waiting = limiter.acquire("k");
    end();
    expect(ended().map(({ attributes }) => attributes)).toEqual([
      { "sluice.limiter": "sluice", "sluice.cost": 1 },
    ]);
    await expect
      .poll(async () => {
        await clock.advanceAsync(1000);
        return limiter.stats().waits.waiting;
      })
      .toBe(0);
    await waiting;
    expect(ended()).toHaveLength(1);
  });

  test.each([
    ["telemetry", {}, {}],
    ["telemetry", { tracer: trace.getTracer("x") }, {}],
    ["meter", { meter: trace }, {}],
    ["trace", { trace: trace.getTracer("x") }, {}],
    ["tracer", { tracer: trace }, { spans: true }],
    ["tracer", { trace }, { spans: true }],
    ["telemetry.metre", { metre: 1 }, {}],
  ])("refuses %s", (option, telemetry, options) => {
    const call = (): unknown => instrument(telemetry as never, [limiterAt()], options);
    expect(call).toThrow(InvalidOptionError);
    expect(call).toThrow(`${option}: `);
  });

  test("refuses what is measured by none", () => {
    const { meter } = meterForTest();
    expect(() => instrument({ meter }, ["limiter"] as never)).toThrow("measured[0]: ");
    expect(() => instrument({ meter }, {} as never)).toThrow("measured: ");
  });
});
