/**
 * Keys for which something replaces the limiter's policies: another policy, a denial, or no limit. Every process knows them
 * all, so that a look-up needs no call; if the store is outside the process, it reads them again when they have changed.
 */
import { setAlarm } from "../core/alarm.js";
import { monotonicMs, startTimer, systemClock, type Clock, type Timer } from "../core/clock.js";
import { InvalidOptionError } from "../core/errors.js";
import { RepeatedLook } from "../core/repeated-look.js";
import { withoutText } from "../core/shown.js";
import type { OverrideChanged, OverrideTerms } from "../events/changes.js";
import type { Events } from "../events/events.js";
import type { OverridesRead, OverrideStore, OverrideWatch } from "../stores/override-store.js";
import type { OverrideChange } from "./override-options.js";
import {
  type KnownOverride,
  removalOfText,
  removalToText,
  overrideOfText,
  overrideToText,
  type OverrideNote,
  termsOf,
} from "./override-text.js";

/** An override as it is listed. */
export interface ListedOverride extends OverrideTerms {
  /** Of the key, as the store sees it: the hash, if keys are hashed. */
  readonly id: string;
}

export interface OverridesOptions {
  /** Undefined if they are only this process's own. */
  readonly store: OverrideStore | undefined;
  readonly clock: Clock | undefined;
  /** The limiter's namespace. */
  readonly limiter: string;
  readonly events: Events;
  /** How long the first calls wait for the first answer. */
  readonly timeoutMs: number;
}

const MOST_OVERRIDES = 10_000;
const POLL_MS = 1000;
/** The most ended overrides that one call removes from the store. */
const LEAVING_AT_ONCE = 100;
const NOTHING_SAID: OverrideNote = { by: undefined, comment: undefined };

export class Overrides {
  readonly #options: OverridesOptions;
  readonly #looks: RepeatedLook;
  #byId = new Map<string, KnownOverride>();
  /** What the store may still have of those that are over, or were removed: until when, in ms. */
  readonly #leaving = new Map<string, number>();
  #version = "";
  /** What to add to this process's monotonic time for the store's: ms. */
  #offsetMs: number | undefined;
  #loading: Promise<void> | undefined;
  #hasFailed = false;
  #isClosed = false;
  #changed: () => void = () => {};
  #watch: OverrideWatch | undefined;
  /** When the next one ends, in ms; it may have been removed since. */
  #nextEndMs = Number.POSITIVE_INFINITY;
  #endAlarm: (() => void) | undefined;

  constructor(options: OverridesOptions) {
    this.#options = options;
    this.#looks = new RepeatedLook(POLL_MS, () => this.#lookOnce());
  }

  /** `changed` is called whenever calls may have to look here, or not any more. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  /** Whether calls must look here at all. */
  get isInUse(): boolean {
    return this.#options.store !== undefined || this.#byId.size > 0;
  }

  /** How many this process knows of. */
  get size(): number {
    return this.#byId.size;
  }

  /** Undefined once the first answer is there, or is not to be waited for any more. Never rejects. */
  get loading(): Promise<void> | undefined {
    if (this.#options.store === undefined || this.#isClosed) return undefined;
    if (this.#loading === undefined) this.#load(this.#options.store);
    return this.#offsetMs === undefined && !this.#hasFailed ? this.#loading : undefined;
  }

  /** What holds for the key with this id, if not the policies. */
  find(id: string): KnownOverride | undefined {
    const known = this.#byId.get(id);
    if (known?.untilMs === undefined || this.#nowMs() < known.untilMs) return known;
    this.#end(id, known);
    return undefined;
  }

  /** All that hold now. */
  list(): readonly ListedOverride[] {
    this.#endThoseOver();
    return [...this.#byId].map(([id, known]) => ({ id, ...termsOf(known) }));
  }

  /** @throws InvalidOptionError if there are too many; StoreUnavailableError, StoreTimeoutError. */
  async set(id: string, { to, note }: OverrideChange): Promise<void> {
    const known = to && { ...to, text: overrideToText(to) };
    const { store, limiter } = this.#options;
    if (store === undefined) {
      this.#setHere(id, known, note);
      return;
    }
    // Listeners hear what there was before.
    await this.loading;
    if (this.#offsetMs === undefined) await this.#read(store);
    const { text, untilMs } = known ?? {};
    const what = { id, text, untilMs, note: removalToText(note), most: MOST_OVERRIDES };
    if (!(await store.write(limiter, what))) throw tooMany();
    await this.#read(store);
  }

  /** Reads them now. Of this process's own there is nothing to read. */
  async refresh(): Promise<void> {
    const { store } = this.#options;
    if (store === undefined) return;
    await this.loading;
    await this.#read(store);
  }

  close(): void {
    this.#isClosed = true;
    this.#looks.close();
    this.#endAlarm?.();
    this.#watch?.end();
  }

  #setHere(id: string, known: KnownOverride | undefined, note: OverrideNote): void {
    if (known !== undefined && !this.#byId.has(id) && this.#byId.size >= MOST_OVERRIDES) {
      this.#endThoseOver();
      if (this.#byId.size >= MOST_OVERRIDES) throw tooMany();
    }
    const before = this.#byId.get(id);
    if (known === undefined) this.#byId.delete(id);
    else this.#byId.set(id, known);
    this.#changed();
    this.#tell(id, before, known, note);
    this.#awaitEnd(known?.untilMs);
  }

  #nowMs(): number {
    const { clock } = this.#options;
    if (clock !== undefined) return clock.nowUs() / 1e3;
    if (this.#offsetMs !== undefined) return monotonicMs() + this.#offsetMs;
    return systemClock.nowUs() / 1e3;
  }

  #load(store: OverrideStore): void {
    let giveUp: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      giveUp = startTimer(this.#options.timeoutMs, () => {
        this.#hasFailed = true;
        resolve();
      });
    });
    this.#loading = Promise.race([this.#looks.look(), late]).then(() => giveUp?.cancel());
    this.#watch = store.watch?.(this.#options.limiter, () => void this.#looks.look());
  }

  /** Never rejects. */
  async #lookOnce(): Promise<void> {
    const { store, events } = this.#options;
    if (store === undefined) return;
    try {
      await this.#read(store);
      this.#hasFailed = false;
    } catch (error) {
      // Once for each run of failures; what was known last holds.
      if (!this.#hasFailed && !this.#isClosed) events.to.failure?.({ error, key: "", cost: 0 });
      this.#hasFailed = true;
    }
  }

  async #read(store: OverrideStore): Promise<void> {
    const nowMs = this.#nowMs();
    const over = [...this.#leaving].filter(([, untilMs]) => untilMs <= nowMs);
    const ended = over.slice(0, LEAVING_AT_ONCE).map(([id]) => id);
    const read = await store.read(this.#options.limiter, this.#version, ended);
    this.#apply(read);
    // The store's clock may have been set back since.
    for (const id of ended) {
      if ((this.#leaving.get(id) ?? 0) <= read.nowMs) this.#leaving.delete(id);
    }
  }

  #apply({ version, nowMs, texts }: OverridesRead): void {
    const isFirst = this.#offsetMs === undefined;
    this.#offsetMs = nowMs - monotonicMs();
    // Answers may come in another order than they were given; and a store that has lost them, and has no version any more,
    // has not ended them.
    if (texts === undefined || Number(version) < Number(this.#version)) return;
    const before = this.#byId;
    const after = new Map<string, KnownOverride>();
    const removals = new Map<string, OverrideNote>();
    let nextEndMs = Number.POSITIVE_INFINITY;
    for (const [id, stored] of texts) {
      const { text, untilMs = Number.POSITIVE_INFINITY, isRemoved } = stored;
      if (isRemoved === true || untilMs <= nowMs) this.#leaving.set(id, untilMs);
      if (isRemoved === true) removals.set(id, this.#readable(removalOfText, text) ?? NOTHING_SAID);
      if (isRemoved === true || untilMs <= nowMs) continue;
      const last = before.get(id);
      const isSame = last?.text === text && last.untilMs === stored.untilMs;
      const known = isSame ? last : this.#readable(overrideOfText, stored);
      if (known === undefined) continue;
      after.set(id, known);
      nextEndMs = Math.min(nextEndMs, untilMs);
    }
    this.#version = version;
    this.#byId = after;
    this.#nextEndMs = Number.POSITIVE_INFINITY;
    this.#awaitEnd(nextEndMs);
    if (!isFirst) this.#tellAll(before, after, removals);
  }

  /** One that cannot be read, of a newer release for instance, leaves the others be. */
  #readable<T, R>(read: (text: T) => R, text: T): R | undefined {
    try {
      return read(text);
    } catch (error) {
      this.#options.events.to.failure?.({ error, key: "", cost: 0 });
      return undefined;
    }
  }

  /** Its time is over. */
  #end(id: string, known: KnownOverride): void {
    this.#byId.delete(id);
    if (this.#options.store !== undefined) this.#leaving.set(id, known.untilMs ?? 0);
    this.#changed();
    this.#emit(id, "ended", known, undefined, NOTHING_SAID);
  }

  #endThoseOver(): void {
    const nowMs = this.#nowMs();
    if (nowMs < this.#nextEndMs) return;
    this.#nextEndMs = Number.POSITIVE_INFINITY;
    let nextEndMs = Number.POSITIVE_INFINITY;
    for (const [id, known] of this.#byId) {
      const { untilMs = Number.POSITIVE_INFINITY } = known;
      if (untilMs <= nowMs) this.#end(id, known);
      else nextEndMs = Math.min(nextEndMs, untilMs);
    }
    this.#awaitEnd(nextEndMs);
  }

  /** An override that ends without a call on its key is still reported to listeners and removed from the store. */
  #awaitEnd(untilMs = Number.POSITIVE_INFINITY): void {
    if (untilMs >= this.#nextEndMs || this.#isClosed) return;
    this.#nextEndMs = untilMs;
    this.#endAlarm?.();
    const leftMs = Math.max(1, Math.ceil(untilMs - this.#nowMs()));
    this.#endAlarm = setAlarm(this.#options.clock ?? systemClock, leftMs, false, () => {
      // A timer may fire a moment too early: then there is another one.
      this.#nextEndMs = Number.NEGATIVE_INFINITY;
      this.#endThoseOver();
    });
  }

  #tellAll(
    before: ReadonlyMap<string, KnownOverride>,
    after: ReadonlyMap<string, KnownOverride>,
    removals: ReadonlyMap<string, OverrideNote>,
  ): void {
    if (this.#options.events.to.override === undefined) return;
    const nowMs = this.#nowMs();
    for (const [id, known] of before) {
      if (after.has(id)) continue;
      const isOver = known.untilMs !== undefined && known.untilMs <= nowMs && !removals.has(id);
      if (isOver) this.#emit(id, "ended", known, undefined, NOTHING_SAID);
      else this.#tell(id, known, undefined, removals.get(id) ?? NOTHING_SAID);
    }
    for (const [id, known] of after) this.#tell(id, before.get(id), known, known);
  }

  #tell(
    id: string,
    before: KnownOverride | undefined,
    after: KnownOverride | undefined,
    note: OverrideNote,
  ): void {
    if (before === after) return;
    if (after === undefined) this.#emit(id, "removed", before, after, note);
    else this.#emit(id, before === undefined ? "set" : "changed", before, after, note);
  }

  #emit(
    id: string,
    change: OverrideChanged["change"],
    before: KnownOverride | undefined,
    after: KnownOverride | undefined,
    { by, comment }: OverrideNote,
  ): void {
    this.#options.events.to.override?.({
      limiter: this.#options.limiter,
      id,
      change,
      before: before && termsOf(before),
      after: after && termsOf(after),
      by,
      comment,
      atUs: Math.floor(this.#nowMs() * 1e3),
    });
  }
}

function tooMany(): InvalidOptionError {
  const allowed = `at most ${MOST_OVERRIDES} overrides a limiter; remove some, or choose policies by a function`;
  return new InvalidOptionError("override", withoutText({}), allowed);
}
