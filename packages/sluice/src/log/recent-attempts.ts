/** The last attempts of limiters, kept in bounded memory: to replay them under other limits, and to look up a key. */
import { endLine, sessionLine } from "../audit/attempt-record.js";
import type { LogSource } from "../audit/log.js";
import { whenSettled } from "../core/clock.js";
import type { DecisionReason } from "../core/decision.js";
import { randomName } from "../core/digest.js";
import { hiding } from "../core/identity.js";
import { checkName } from "../core/key.js";
import { byDefault, aCount, optionReader } from "../core/options.js";
import type { DecisionMade, KeyAdjusted } from "../events/events.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { hearRequests, meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import type { HeardRequests } from "../policies/rules-decision.js";
import { AttemptLines, type Logged, type DecidedCall, nameOfStore } from "./attempt-lines.js";
import { LOGGED_OPTIONS, loggedPipeline, type LoggedLimiterOptions } from "./attempt-log.js";
import { checkClear, type ClearEntries } from "./clear-entries.js";
import { DefinedRules, type QueuedLine } from "./line-queue.js";
import { lineOfRequests } from "./request-lines.js";

/** Options of `RecentAttempts`. */
export interface RecentAttemptsOptions {
  /** Attempts and other changes of keys that are kept, the newest: 1 to 1,000,000; default 50,000. */
  readonly most?: number | undefined;
  /** Bytes that they take at most, about: 1,000 to 1e9; default 16,000,000. */
  readonly maxBytes?: number | undefined;
  /** Entries of requests to a PolicySet whose values `source()` may hold, by name; true: all. Default none. */
  readonly clear?: readonly string[] | true | undefined;
}

const OPTIONS = optionReader<RecentAttemptsOptions>()({
  most: byDefault(50_000, aCount(1, 1e6)),
  maxBytes: byDefault(16e6, aCount(1000, 1e9)),
  clear: checkClear,
});

/** One attempt that is remembered. */
export interface RecentAttempt {
  /** The store's clock: µs since the epoch. */
  readonly atUs: number;
  /** The key as the caller gave it; of a rule as `ruleKey` writes it: mind where you show it. */
  readonly key: string;
  /** The rule that decided, else the policy. */
  readonly rule: string;
  /** Whether it passed. */
  readonly allowed: boolean;
  /** Why, as the decision says. */
  readonly reason: DecisionReason;
}

/** An attempt; another change of its key; or a request that was decided by rules. */
interface Kept {
  readonly whose: Logged;
  readonly decided?: DecidedCall;
  readonly adjusted?: KeyAdjusted;
  readonly heard?: HeardRequests;
  readonly atUs: number;
  readonly bytes: number;
}

/** What one takes in V8's heap, beside its key: measured, rounded up. */
const BYTES_EACH = 400;
/** What a request and what it met take beside that. */
const REQUEST_BYTES = 800;
const LINES_A_TURN = 500;
const SESSION_BYTES = 9;

/**
 * Remembers the last attempts of limiters and of rules, in this process. `source()` is a log of them, for
 * `readLoggedAttempts` of `sluice/simulate`: nothing is written, and keys are hashed in it as in any log.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, slidingLog } from "sluice";
 * import { RecentAttempts } from "sluice/log";
 * import { limitsOf, readLoggedAttempts, simulate } from "sluice/simulate";
 * const limiter = new RateLimiter({ policy: slidingLog({ name: "api", limit: 3, window: "1h" }) });
 * const recent = new RecentAttempts();
 * recent.add(limiter);
 * for (let call = 0; call < 5; call++) await limiter.consume("user:42");
 * const log = await readLoggedAttempts([recent.source()]);
 * const limits = limitsOf([slidingLog({ name: "api", limit: 2, window: "1h" })]);
 * console.log((await simulate(log, { limits })).all.newlyDenied, recent.count); // 1 5
 * recent.close();
 */
export class RecentAttempts implements Disposable {
  readonly #most: number;
  readonly #maxBytes: number;
  readonly #ends = new Set<() => void>();
  /** The oldest first, behind those that were dropped. */
  #kept: (Kept | undefined)[] = [];
  #dropped = 0;
  #bytes = 0;
  #hasDropped = false;
  /** Of what is kept, that which is no attempt: requests, whose attempts are kept beside. */
  #requests = 0;
  readonly #clear: ClearEntries;

  constructor(options: RecentAttemptsOptions = {}) {
    const { most, maxBytes, clear } = OPTIONS.read(options);
    this.#clear = clear;
    this.#most = most;
    this.#maxBytes = maxBytes;
  }

  /** How many are kept. */
  get count(): number {
    return this.#kept.length - this.#dropped - this.#requests;
  }

  /** When the oldest of them was, by the store's clock in µs since the epoch; undefined if there is none. */
  get fromUs(): number | undefined {
    return this.#kept[this.#dropped]?.atUs;
  }

  /** Whether none was dropped since the beginning. */
  get isWhole(): boolean {
    return !this.#hasDropped;
  }

  /**
   * Remembers a limiter's attempts, or those of a set's rules, until the function that it returns is called.
   *
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RecentAttempts } from "sluice/log";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
   * const recent = new RecentAttempts();
   * const end = recent.add(limiter);
   * await limiter.consume("user:42");
   * end();
   * console.log(recent.count); // 1
   * recent.close();
   */
  add(limiter: RateLimiter | PolicySet, options: LoggedLimiterOptions = {}): () => void {
    LOGGED_OPTIONS.known(options);
    const pipeline = loggedPipeline(limiter);
    const ofSet = meetOf(limiter) !== undefined;
    const { store, identify } = pipeline;
    const { name = pipeline.name } = options;
    const whose: Logged = {
      ids: hiding(identify),
      limiter: checkName("name", name),
      store: store.external ? undefined : nameOfStore(store),
      ofSet,
      clear: this.#clear,
    };
    const { events } = limiter;
    const ends = [
      events.on("decision", (event) => {
        if (event.verb !== "peek") this.#decided(event, whose);
      }),
      events.on("adjusted", (event) => {
        this.#keep({ whose, adjusted: event, atUs: event.atUs ?? 0 }, textsOf(event));
      }),
    ];
    if (ofSet) ends.push(hearRequests(limiter, (heard) => this.#heard(heard, whose)));
    const end = (): void => {
      if (this.#ends.delete(end)) for (const each of ends) each();
    };
    this.#ends.add(end);
    return end;
  }

  /**
   * What is remembered now, as a log. Reading it gives other work in the process its turn in between.
   *
   * @param sinceUs only what came since then: µs since the epoch, by the store's clock
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RecentAttempts } from "sluice/log";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
   * const recent = new RecentAttempts();
   * console.log(recent.source().name); // recent attempts
   * recent.close();
   * await limiter.close();
   */
  source(sinceUs = 0): LogSource {
    const all = this.#kept.slice(this.#dropped) as Kept[];
    const kept = sinceUs > 0 ? all.filter(({ atUs }) => atUs >= sinceUs) : all;
    // If the beginning is missing, it is a later part of its session.
    const isWhole = this.isWhole && kept.length === all.length;
    return { name: "recent attempts", open: () => textOf(kept, isWhole) };
  }

  /**
   * The last attempts on the key with this id, the newest first.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { keyId } from "sluice/audit";
   * import { RecentAttempts } from "sluice/log";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
   * const recent = new RecentAttempts();
   * recent.add(limiter);
   * await limiter.consume("user:42");
   * console.log(recent.of(keyId("user:42")).map(({ allowed }) => allowed)); // [ true ]
   * recent.close();
   */
  of(id: string, most = 20): readonly RecentAttempt[] {
    const ids = new Map<string, string>();
    const found: RecentAttempt[] = [];
    for (let i = this.#kept.length - 1; i >= this.#dropped && found.length < most; i--) {
      const { decided, whose, atUs } = this.#kept[i] as Kept;
      if (decided === undefined) continue;
      const { key, slot, decision } = decided;
      const known = slot === undefined ? ids.get(key) : undefined;
      const own = known ?? whose.ids(key, slot);
      if (slot === undefined) ids.set(key, own);
      if (own !== id) continue;
      const { allowed, reason, rule = decision.policy } = decision;
      found.push({ atUs, key, rule, allowed, reason });
    }
    return found;
  }

  /**
   * Ends it, and forgets everything.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RecentAttempts } from "sluice/log";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }) });
   * const recent = new RecentAttempts();
   * recent.add(limiter);
   * recent.close();
   * await limiter.consume("user:42");
   * console.log(recent.count); // 0
   */
  close(): void {
    for (const end of this.#ends) end();
    this.#kept = [];
    this.#dropped = 0;
    this.#bytes = 0;
    this.#requests = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Keeps of the event what a line says. */
  #decided(event: DecisionMade, whose: Logged): void {
    const { key, slot, cost, verb, policies, maxWaitUs, readyAtUs } = event;
    const { policies: _, shadow: __, ...decision } = event.decision;
    const decided = { key, slot, cost, verb, policies, maxWaitUs, readyAtUs, decision };
    this.#keep({ whose, decided, atUs: decision.decidedAtUs }, textsOf(event));
  }

  #heard(heard: HeardRequests, whose: Logged): void {
    this.#requests += 1;
    let characters = 0;
    for (const { request } of heard.takens) {
      characters += REQUEST_BYTES / 2;
      for (const name in request.entries) {
        characters += name.length + String(request.entries[name]).length;
      }
    }
    this.#keep({ whose, heard, atUs: heard.atUs }, characters);
  }

  /** Each with as many characters in its texts. */
  #keep(what: Omit<Kept, "bytes">, characters: number): void {
    const bytes = BYTES_EACH + 2 * characters;
    this.#kept.push({ ...what, bytes });
    this.#bytes += bytes;
    while (this.count > this.#most || (this.#bytes > this.#maxBytes && this.count > 0)) {
      const { bytes: freed, heard } = this.#kept[this.#dropped] as Kept;
      this.#bytes -= freed;
      this.#requests -= Number(heard !== undefined);
      this.#kept[this.#dropped] = undefined;
      this.#dropped += 1;
      this.#hasDropped = true;
    }
    // Now and then, so that each is moved once.
    if (this.#dropped > 1000 && this.#dropped * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#dropped);
      this.#dropped = 0;
    }
  }
}

/** Lines are made when they are read, so unread ones cost nothing but their memory. */
async function* textOf(kept: readonly Kept[], isWhole: boolean): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const lines = new AttemptLines(1);
  const rules = new DefinedRules();
  const session = randomName(SESSION_BYTES);
  yield encoder.encode(sessionLine({ session, part: isWhole ? 1 : 2, sample: 1 }));
  for (let at = 0; at < kept.length; at += LINES_A_TURN) {
    const made = kept.slice(at, at + LINES_A_TURN).flatMap((each) => lineOf(each, lines) ?? []);
    yield encoder.encode(made.map((line) => rules.withRule(line)).join(""));
    await whenSettled();
  }
  yield encoder.encode(endLine(session));
}

function textsOf({ key, slot = "" }: Pick<KeyAdjusted, "key" | "slot">): number {
  return key.length + slot.length;
}

function lineOf(
  { whose, decided, adjusted, heard }: Kept,
  lines: AttemptLines,
): QueuedLine | undefined {
  if (heard !== undefined) return lineOfRequests(heard, whose);
  if (decided !== undefined) return lines.decided(decided, whose);
  return adjusted === undefined ? undefined : lines.adjusted(adjusted, whose);
}
