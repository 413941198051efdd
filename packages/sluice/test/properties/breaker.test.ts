/**
 * Calls that begin, succeed, fail, run out of time or are given up, in any order, against a plain model:
 * who is let through to the store, what each call gets, and who is told of what.
 */
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ErrorEvent, RateLimiter, type RecoveryEvent, tokenBucket } from "../../src/index.js";
import { type HeldCall, HeldStore } from "../support/held-store.js";
import { runs } from "../support/runs.js";

const policy = tokenBucket({ limit: 1e6, period: "1h" });

interface Settings {
  readonly failures: number;
  readonly probeEvery: number;
  readonly timeout: number;
}

type Step =
  | { readonly does: "begins" }
  | { readonly does: "succeeds" | "fails" | "is given up"; readonly which: number }
  | { readonly does: "waits"; readonly ms: number };

const someSettings: fc.Arbitrary<Settings> = fc.record({
  failures: fc.integer({ min: 1, max: 4 }),
  probeEvery: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 100, max: 300 })),
  timeout: fc.integer({ min: 1, max: 40 }),
});

const which = fc.nat({ max: 5 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ does: fc.constant("begins" as const) }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("succeeds" as const), which }) },
    { weight: 4, arbitrary: fc.record({ does: fc.constant("fails" as const), which }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant("is given up" as const), which }) },
    {
      weight: 3,
      arbitrary: fc.record({
        does: fc.constant("waits" as const),
        ms: fc.integer({ min: 1, max: 25 }),
      }),
    },
  ),
  { maxLength: 80, size: "max" },
);

/** A call that the model has let through. */
interface Sent {
  readonly sentAt: number;
  readonly failuresBefore: number;
  readonly decisionsBefore: number;
  /** The opening whose probe it is. */
  readonly probeOf: number | undefined;
  /** Its caller has gone: of a probe only. */
  isGivenUp: boolean;
}

type Ending = "succeeds" | "fails" | "is given up" | "is late";

/** All that happened, from which every answer is worked out anew. */
type Entry =
  | {
      readonly is: "failure" | "success" | "opening" | "closing";
      readonly at: number;
    }
  | { readonly is: "probe's start"; readonly at: number };

interface Modelled {
  readonly beganAt: number;
  /** Calls left without an answer. */
  unanswered: number;
  /** When the store answered first after its last failure. */
  answeredAt: number | undefined;
  isOver: boolean;
}

class Model {
  now = 0;
  /** Those whose end counts, given up by their callers or not. */
  readonly inFlight: Sent[] = [];
  readonly outages: Modelled[] = [];
  readonly #settings: Settings;
  readonly #history: Entry[] = [];
  #failures = 0;
  #lastFailure = 0;
  #decisions = 0;
  #openings = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  get isOpen(): boolean {
    const last = this.#last("opening", "closing");
    return last?.is === "opening";
  }

  get isProbing(): boolean {
    return this.inFlight.some(({ probeOf }) => probeOf === this.#openings);
  }

  /** Whose callers wait. */
  get waiting(): readonly Sent[] {
    return this.inFlight.filter(({ isGivenUp }) => !isGivenUp);
  }

  /** True if the store is asked. */
  begin(): boolean {
    if (this.isOpen && !this.#isProbeDue()) {
      this.#unanswered();
      return false;
    }
    const isProbe = this.isOpen;
    if (isProbe) this.#note("probe's start");
    this.inFlight.push({
      sentAt: this.now,
      failuresBefore: this.#failures,
      decisionsBefore: this.#decisions,
      probeOf: isProbe ? this.#openings : undefined,
      isGivenUp: false,
    });
    return true;
  }

  #isProbeDue(): boolean {
    const opening = this.#history.findLastIndex(({ is }) => is === "opening");
    const probes = this.#history.slice(opening).filter(({ is }) => is === "probe's start").length;
    const interval = Math.min(50 * 2 ** probes, this.#settings.probeEvery);
    const since = this.#last("opening", "probe's start")?.at ?? 0;
    return !this.isProbing && this.now - since >= interval;
  }

  end(sent: Sent, how: Ending): void {
    if (how === "is given up" && sent.probeOf !== undefined) {
      sent.isGivenUp = true;
      return;
    }
    this.inFlight.splice(this.inFlight.indexOf(sent), 1);
    if (how === "is given up") return;
    if (how === "succeeds") {
      this.#decisions += 1;
      this.#note(this.isOpen ? "closing" : "success");
      const outage = this.outages.at(-1);
      if (outage !== undefined && sent.failuresBefore >= this.#lastFailure) {
        outage.answeredAt ??= this.now;
        this.#endIfQuiet(this.inFlight);
      }
      return;
    }
    this.#failures += 1;
    this.#lastFailure = this.#failures;
    this.#endIfQuiet([...this.inFlight, sent]);
    this.#noted().answeredAt = undefined;
    if (!sent.isGivenUp) this.#noted().unanswered += 1;
    // While the store decides others it is only busy.
    if (this.isOpen || (how === "is late" && this.#decisions > sent.decisionsBefore)) return;
    this.#note("failure");
    if (this.#failuresInARow() < this.#settings.failures) return;
    this.#note("opening");
    this.#openings += 1;
  }

  /** Time passes, deadlines with it, each at its moment. */
  wait(ms: number): void {
    const until = this.now + ms;
    const due = this.inFlight.filter(({ sentAt }) => sentAt + this.#settings.timeout <= until);
    for (const sent of due) {
      this.now = sent.sentAt + this.#settings.timeout;
      this.end(sent, "is late");
    }
    this.now = until;
  }

  /** An outage is over when the store has answered for an interval and not failed, and none of `calls` is from before. */
  #endIfQuiet(calls: readonly Sent[]): void {
    const outage = this.outages.at(-1);
    if (outage?.answeredAt === undefined) return;
    const { answeredAt } = outage;
    if (calls.some(({ sentAt }) => sentAt < answeredAt)) return;
    if (this.now - answeredAt >= this.#settings.probeEvery) outage.isOver = true;
  }

  #unanswered(): void {
    this.#noted().unanswered += 1;
  }

  /** The outage under way. */
  #noted(): Modelled {
    let outage = this.outages.at(-1);
    if (outage === undefined || outage.isOver) {
      outage = { beganAt: this.now, unanswered: 0, answeredAt: undefined, isOver: false };
      this.outages.push(outage);
    }
    return outage;
  }

  #note(is: Entry["is"]): void {
    this.#history.push({ is, at: this.now });
  }

  #last(...kinds: readonly Entry["is"][]): Entry | undefined {
    return this.#history.findLast(({ is }) => kinds.includes(is));
  }

  #failuresInARow(): number {
    const others = this.#history.findLastIndex(({ is }) => is === "success" || is === "closing");
    return this.#history.slice(others + 1).filter(({ is }) => is === "failure").length;
  }
}

interface Begun {
  readonly held: HeldCall | undefined;
  readonly sent: Sent | undefined;
  readonly controller: AbortController;
  source: string | undefined;
}

async function play(chosen: Settings, trace: readonly Step[]): Promise<void> {
  const store = new HeldStore();
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
  const { failures, probeEvery, timeout } = chosen;
  const limiter = new RateLimiter({
    policy,
    store,
    timeout,
    breaker: { failures, probeEvery },
    onStoreFailure: "open",
    hooks: { onError, onRecovery },
  });
  const model = new Model(chosen);
  const calls: Begun[] = [];
  let probesLetThrough = 0;
  for (const step of trace) {
    if (step.does === "waits") {
      await vi.advanceTimersByTimeAsync(step.ms);
      model.wait(step.ms);
    } else if (step.does === "begins") {
      const wasOpen = model.isOpen;
      const controller = new AbortController();
      const answer = limiter.consume("k", { signal: controller.signal });
      const [held] = store.held.splice(0);
      const isSent = model.begin();
      expect(held !== undefined).toBe(isSent);
      if (wasOpen && isSent) probesLetThrough += 1;
      const begun: Begun = {
        held,
        sent: isSent ? model.inFlight.at(-1) : undefined,
        controller,
        source: undefined,
      };
      calls.push(begun);
      void answer.then(
        ({ source }) => {
          begun.source = source;
        },
        () => {
          begun.source = "given up";
        },
      );
    } else {
      const sent = model.inFlight[step.which];
      const begun = calls.find((call) => call.sent !== undefined && call.sent === sent);
      if (sent === undefined || begun === undefined) continue;
      if (step.does === "is given up" && sent.isGivenUp) continue;
      if (step.does === "is given up") begun.controller.abort();
      else begun.held?.settle(step.does === "fails" ? new Error("lost") : undefined);
      model.end(sent, step.does);
    }
    await vi.advanceTimersByTimeAsync(0);
    expect(calls.filter(({ source }) => source === undefined).map(({ sent }) => sent)).toEqual(
      model.waiting,
    );
    const over = model.outages.filter(({ isOver }) => isOver);
    expect(onError).toHaveBeenCalledTimes(model.outages.length);
    expect(
      onRecovery.mock.calls.map(([{ unanswered, outageMs }]) => [unanswered.total, outageMs]),
    ).toEqual(
      over.map(({ unanswered, beganAt, answeredAt = NaN }) => [unanswered, answeredAt - beganAt]),
    );
  }
  // While it was open, no more went to the store than one call an interval.
  expect(probesLetThrough).toBeLessThanOrEqual(model.now / Math.min(50, probeEvery));
  const unanswered = calls.filter(({ source }) => source === "fail-open").length;
  expect(unanswered).toBe(model.outages.reduce((sum, outage) => sum + outage.unanswered, 0));
  await vi.advanceTimersByTimeAsync(timeout);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

test("a breaker and its outages do as the model says", async () => {
  await fc.assert(fc.asyncProperty(someSettings, steps, play), { numRuns: runs(500) });
});
