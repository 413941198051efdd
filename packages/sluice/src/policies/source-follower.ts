/**
 * Keeps a PolicySet at what its source says. What is found is checked and compiled first and put in force last, so that
 * whatever is invalid, older or lost changes nothing: it is reported, and what is in force stays.
 */
import { setAlarm } from "../core/alarm.js";
import { type Clock, monotonicMs, startTimer } from "../core/clock.js";
import { ClosedError, StoreTimeoutError } from "../core/errors.js";
import { RepeatedLook } from "../core/repeated-look.js";
import type { RulesReloaded } from "../events/rule-events.js";
import type { DocumentCache } from "./document-cache.js";
import { type LoadedPolicies, loadPolicies } from "./load.js";
import type {
  ClockReading,
  PolicySource,
  SeenSource,
  SourceLook,
  SourceText,
} from "./policy-source.js";
import { InvalidPoliciesError } from "./problems.js";
import type { StoreTime } from "./store-time.js";

/** The outcome of a look at the source, if that has changed. */
export type ReloadOutcome = RulesReloaded["outcome"];

export interface FollowerOptions {
  readonly source: PolicySource;
  readonly time: StoreTime;
  /** What alarms go by. */
  readonly clock: Clock;
  readonly everyMs: number;
  /** A source that does not answer is asked again after this time. */
  readonly patienceMs: number;
  readonly cache: DocumentCache | undefined;
  /** Asks the store for its time, if the source does not say it. */
  readonly askTime: (() => Promise<ClockReading>) | undefined;
  /** Puts a document in force. */
  readonly apply: (loaded: LoadedPolicies) => void;
  /** Called once for a lasting outcome, and again when it changes. */
  readonly reported: (reload: Omit<RulesReloaded, "set">) => void;
}

/** How often the store is asked for its time. */
const TIME_EVERY_MS = 30_000;

export class SourceFollower {
  /** Why what is in force may not be what the source says; undefined if it is. */
  stale: Error | undefined;
  #staleSinceMs = 0;
  /** How often a look came to something. */
  readonly reloads: Record<ReloadOutcome, number> = {
    applied: 0,
    scheduled: 0,
    recovered: 0,
    invalid: 0,
    older: 0,
    lost: 0,
    failed: 0,
  };
  readonly #options: FollowerOptions;
  #seen: SeenSource = { mark: "", version: 0 };
  /** Not in force yet, the next one first. */
  #scheduled: readonly LoadedPolicies[] = [];
  #trouble: ReloadOutcome | undefined;
  /** Whether what was seen last could be put in force. */
  #isSeenGood = true;
  readonly #looks: RepeatedLook;
  #isClosed = false;
  #endAlarm: (() => void) | undefined;
  #endWatch: (() => void) | undefined;
  #timeAskedMs = Number.NEGATIVE_INFINITY;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#looks = new RepeatedLook(options.everyMs, () => this.#lookOnce());
  }

  /** For how long it has been stale, in ms. */
  get staleMs(): number {
    return this.stale === undefined ? 0 : monotonicMs() - this.#staleSinceMs;
  }

  /** What is not in force yet, the next one first. */
  get scheduled(): readonly LoadedPolicies[] {
    return this.#scheduled;
  }

  /**
   * The first look. If it finds no valid document, the copy on disk is put in force.
   *
   * @throws what kept it from the first document, if there is no copy
   */
  async start(): Promise<void> {
    try {
      await this.#askTime();
      const look = await this.#lookAtSource();
      if (look.found !== "text") throw new Error(look.found === "same" ? "nothing" : look.why);
      await this.#takeFirst(look.text);
    } catch (error) {
      const cached = await this.#options.cache?.read();
      if (cached === undefined) throw error;
      this.#seen = { mark: cached.mark, version: numberOf(cached) };
      this.#options.apply(cached);
      this.#noteTrouble(error instanceof InvalidPoliciesError ? "invalid" : "failed", error);
    }
    this.#endWatch = this.#options.source.watch(() => void this.look());
    this.#looks.arm();
    this.#armAlarm();
  }

  /** Looks now; resolves when that is done. Never rejects. */
  look(): Promise<void> {
    return this.#looks.look();
  }

  /** Puts in force what is due by the store's clock. */
  applyDue(): void {
    const nowUs = this.#options.time.nowUs();
    const due = this.#scheduled.filter(({ compiled }) => compiled.activeFromUs <= nowUs);
    const last = due.at(-1);
    if (last === undefined) return;
    this.#scheduled = this.#scheduled.slice(due.length);
    this.#apply(last);
  }

  close(): void {
    this.#isClosed = true;
    this.#looks.close();
    this.#endAlarm?.();
    this.#endWatch?.();
  }

  async #lookOnce(): Promise<void> {
    try {
      await this.#askTime();
      const look = await this.#lookAtSource();
      if (this.#isClosed) return;
      if (look.found === "text") await this.#take(look.text);
      else if (look.found !== "same") this.#noteTrouble(look.found, new Error(look.why));
      // What was no good stays so until there is another.
      else if (this.#isSeenGood) this.#noteRecovery();
    } catch (error) {
      if (error instanceof ClosedError) this.close();
      else if (!this.#isClosed) this.#noteTrouble("failed", error);
    }
    if (!this.#isClosed) this.applyDue();
    this.#armAlarm();
  }

  async #lookAtSource(): Promise<SourceLook> {
    const { source, time, patienceMs } = this.#options;
    const look = await inTime(source.look(this.#seen), patienceMs);
    const heard = source.heardUs?.();
    if (heard !== undefined) time.heard(heard);
    return look;
  }

  /** If the store does not say its time, the machine's clock is used. */
  async #askTime(): Promise<void> {
    const { askTime, time, patienceMs } = this.#options;
    const nowMs = monotonicMs();
    if (askTime === undefined || nowMs - this.#timeAskedMs < TIME_EVERY_MS) return;
    try {
      time.heard(await inTime(askTime(), patienceMs));
      this.#timeAskedMs = nowMs;
    } catch {
      // The next look asks again.
    }
  }

  async #take(text: SourceText): Promise<void> {
    this.#see(text);
    this.#isSeenGood = false;
    let loaded: LoadedPolicies;
    try {
      loaded = await loadPolicies(text);
    } catch (error) {
      this.#noteTrouble("invalid", error, text.version);
      return;
    }
    if (this.#isClosed) return;
    const { version } = loaded.compiled;
    // Of a published one the source has looked at its version.
    if (text.version === undefined && numberOf(loaded) < this.#seen.version) {
      const why = `${this.#options.source.name} has version ${version}, and ${this.#seen.version} is in force here`;
      this.#noteTrouble("older", new Error(why), version);
      return;
    }
    this.#see({ mark: text.mark, version: numberOf(loaded) });
    this.#isSeenGood = true;
    this.#noteRecovery(false);
    this.#schedule(loaded);
    this.applyDue();
    if (this.#scheduled.includes(loaded)) this.#report("scheduled", version);
  }

  /** Of a document that is not in force yet, the one before it is. */
  async #takeFirst(text: SourceText): Promise<void> {
    this.#see(text);
    const { source, time } = this.#options;
    let loaded = await loadPolicies(text);
    this.#see({ mark: text.mark, version: numberOf(loaded) });
    for (;;) {
      const { activeFromUs, version } = loaded.compiled;
      if (activeFromUs <= time.nowUs()) break;
      this.#scheduled = [loaded, ...this.#scheduled];
      this.#report("scheduled", version);
      const before = await source.before?.(numberOf(loaded));
      if (before === undefined) break;
      loaded = await loadPolicies(before);
    }
    if (!this.#scheduled.includes(loaded)) this.#apply(loaded);
  }

  /** If a later version is to be in force earlier, the others are never in force. */
  #schedule(loaded: LoadedPolicies): void {
    const { activeFromUs } = loaded.compiled;
    const earlier = this.#scheduled.filter(({ compiled }) => compiled.activeFromUs < activeFromUs);
    this.#scheduled = [...earlier, loaded];
  }

  #see({
    mark,
    version = 0,
  }: {
    readonly mark: string;
    readonly version?: number | undefined;
  }): void {
    this.#seen = { mark, version: Math.max(this.#seen.version, version) };
  }

  #apply(loaded: LoadedPolicies): void {
    this.#options.apply(loaded);
    this.#report("applied", loaded.compiled.version);
    this.#options.cache?.write(loaded).catch((error: unknown) => {
      this.#report("failed", loaded.compiled.version, error as Error);
    });
  }

  #noteTrouble(outcome: ReloadOutcome, error: unknown, version?: number | string): void {
    const isNew = this.#trouble !== outcome || this.stale?.message !== (error as Error).message;
    this.#trouble = outcome;
    if (this.stale === undefined) this.#staleSinceMs = monotonicMs();
    this.stale = error as Error;
    if (isNew) this.#report(outcome, version, this.stale);
  }

  #noteRecovery(isReported = true): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.stale = undefined;
    if (isReported) this.#report("recovered");
  }

  #report(outcome: ReloadOutcome, version?: number | string, error?: Error): void {
    this.reloads[outcome] += 1;
    this.#options.reported({ outcome, version, error });
  }

  /** A timer may fire a moment too early. */
  #armAlarm(): void {
    this.#endAlarm?.();
    const [next] = this.#scheduled;
    if (next === undefined || this.#isClosed) return;
    const { clock, time } = this.#options;
    const ms = Math.ceil(Math.max(1, (next.compiled.activeFromUs - time.nowUs()) / 1e3));
    this.#endAlarm = setAlarm(clock, ms, false, () => {
      this.applyDue();
      this.#armAlarm();
    });
  }
}

/** Its own version; a hash is none that grows. */
function numberOf({ compiled }: LoadedPolicies): number {
  return typeof compiled.version === "number" ? compiled.version : 0;
}

function inTime<T>(promise: Promise<T>, withinMs: number): Promise<T> {
  return new Promise((resolve, reject: (error: unknown) => void) => {
    const timer = startTimer(withinMs, () => {
      reject(new StoreTimeoutError(withinMs));
    });
    promise.then(resolve, reject).finally(() => {
      timer.cancel();
    });
  });
}
