/**
 * Keys for which something else holds than the limiter's policies: another policy, a denial, or no limit. Every process
 * knows them all, so that a look-up asks nobody; of a store outside the process it reads them anew where they have changed.
 */
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import { monotonicMs, startTimer, systemClock, type Clock, type Timer } from "../core/clock.js";
import { InvalidOptionError } from "../core/errors.js";
import type { SlotOption } from "../core/key.js";
import { checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { Events } from "../events/events.js";
import type { OverridesRead, OverrideStore } from "../stores/override-store.js";

/** What holds for a key: another policy, or "deny" for everything, or "exempt" from every limit. */
export type Override = Policy | "deny" | "exempt";

export interface OverrideOptions extends SlotOption {
  /** When it ends, by the store's clock: a Date, or ms since the epoch. Default: it stays until it is removed. */
  readonly until?: Date | number | undefined;
  /** Why it is there: text of at most 500 UTF-16 units, for who lists overrides. */
  readonly comment?: string | undefined;
}

/** An override as it is listed. */
export interface ListedOverride {
  /** Of the key, as the store sees it: the hash, where keys are hashed. */
  readonly id: string;
  readonly override: Override;
  /** When it ends; undefined = it does not by itself. */
  readonly until: Date | undefined;
  readonly comment: string | undefined;
}

/** An override that was set or read. */
export interface KnownOverride {
  readonly override: Override;
  readonly untilMs: number | undefined;
  readonly comment: string | undefined;
}

export interface OverridesOptions {
  /** Undefined where they are this process's own. */
  readonly store: OverrideStore | undefined;
  readonly clock: Clock | undefined;
  /** The limiter's namespace. */
  readonly limiter: string;
  readonly events: Events;
  /** How long the first calls wait for the first answer. */
  readonly timeoutMs: number;
}

const MOST_OVERRIDES = 10_000;
const LONGEST_COMMENT = 500;
const POLL_MS = 1000;
const LATEST_MS = 8.64e15;

export class Overrides {
  readonly #options: OverridesOptions;
  #byId = new Map<string, KnownOverride>();
  #version = "";
  /** What to add to this process's monotonic time for the store's: ms. */
  #offsetMs: number | undefined;
  #loading: Promise<void> | undefined;
  #poll: Timer | undefined;
  #hasFailed = false;
  #isClosed = false;
  #changed: () => void = () => {};

  constructor(options: OverridesOptions) {
    this.#options = options;
  }

  /** `changed` is called whenever calls may have to look here, or not any more. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  /** Whether calls must look here at all. */
  get isInUse(): boolean {
    return this.#options.store !== undefined || this.#byId.size > 0;
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
    this.#forget(id);
    return undefined;
  }

  /** All that hold now. */
  list(): readonly ListedOverride[] {
    const nowMs = this.#nowMs();
    return [...this.#byId]
      .filter(([, { untilMs }]) => untilMs === undefined || nowMs < untilMs)
      .map(([id, { override, untilMs, comment }]) => {
        return {
          id,
          override,
          until: untilMs === undefined ? undefined : new Date(untilMs),
          comment,
        };
      });
  }

  /** @throws InvalidOptionError where there are too many; what the store fails with. */
  async set(id: string, known: KnownOverride | undefined): Promise<void> {
    const { store, limiter } = this.#options;
    if (store === undefined) {
      this.#setHere(id, known);
      return;
    }
    const { override, untilMs, comment } = known ?? {};
    const text = known && JSON.stringify({ override, comment });
    if (!(await store.write(limiter, { id, text, untilMs, most: MOST_OVERRIDES }))) throw tooMany();
    await this.#read(store);
  }

  /** Reads them now. Of this process's own there is nothing to read. */
  async refresh(): Promise<void> {
    if (this.#options.store !== undefined) await this.#read(this.#options.store);
  }

  close(): void {
    this.#isClosed = true;
    this.#poll?.cancel();
  }

  #setHere(id: string, known: KnownOverride | undefined): void {
    if (known === undefined) {
      this.#forget(id);
      return;
    }
    if (!this.#byId.has(id) && this.#byId.size >= MOST_OVERRIDES) {
      for (const each of this.#byId.keys()) this.find(each);
      if (this.#byId.size >= MOST_OVERRIDES) throw tooMany();
    }
    this.#byId.set(id, known);
    this.#changed();
  }

  #forget(id: string): void {
    this.#byId.delete(id);
    this.#changed();
  }

  #nowMs(): number {
    if (this.#offsetMs !== undefined) return monotonicMs() + this.#offsetMs;
    return (this.#options.clock ?? systemClock).nowUs() / 1e3;
  }

  #load(store: OverrideStore): void {
    let giveUp: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      giveUp = startTimer(this.#options.timeoutMs, () => {
        this.#hasFailed = true;
        resolve();
      });
    });
    this.#loading = Promise.race([this.#pollOnce(store), late]).then(() => giveUp?.cancel());
  }

  /** Asks once, and again in a while, until it is closed. Never rejects. */
  async #pollOnce(store: OverrideStore): Promise<void> {
    try {
      await this.#read(store);
      this.#hasFailed = false;
    } catch (error) {
      // Once for each run of failures; what was known last holds.
      if (!this.#hasFailed) this.#options.events.to.failure?.({ error, key: "", cost: 0 });
      this.#hasFailed = true;
    }
    if (this.#isClosed) return;
    this.#poll = startTimer(POLL_MS, () => void this.#pollOnce(store));
    this.#poll.unref();
  }

  async #read(store: OverrideStore): Promise<void> {
    this.#apply(await store.read(this.#options.limiter, this.#version));
  }

  #apply({ version, nowMs, texts }: OverridesRead): void {
    this.#offsetMs = nowMs - monotonicMs();
    // Answers may come in another order than they were given; and a store that has lost them, and has no version any more,
    // has not ended them.
    if (texts === undefined || Number(version) < Number(this.#version)) return;
    const byId = new Map<string, KnownOverride>();
    for (const [id, { text, untilMs }] of texts) {
      const known = this.#parsed(text, untilMs);
      if (known !== undefined) byId.set(id, known);
    }
    this.#version = version;
    this.#byId = byId;
  }

  /** One that cannot be read, of a newer release for instance, leaves the others be. */
  #parsed(text: string, untilMs: number | undefined): KnownOverride | undefined {
    try {
      const { override, comment } = JSON.parse(text) as Partial<KnownOverride>;
      const isWord = override === "deny" || override === "exempt";
      return { override: isWord ? override : parsePolicy(override), untilMs, comment };
    } catch (error) {
      this.#options.events.to.failure?.({ error, key: "", cost: 0 });
      return undefined;
    }
  }
}

/** @throws InvalidOptionError */
export function checkOverride(
  override: unknown,
  options: OverrideOptions,
): KnownOverride | undefined {
  const { until, comment } = checkOptions("options", options, ["until", "comment", "slot"]);
  if (
    comment !== undefined &&
    !(typeof comment === "string" && comment.length <= LONGEST_COMMENT)
  ) {
    const allowed = `text of at most ${LONGEST_COMMENT} characters`;
    throw new InvalidOptionError("comment", withoutText(comment), allowed);
  }
  const untilMs = until instanceof Date ? until.getTime() : until;
  const isTime = typeof untilMs === "number" && untilMs >= 0 && untilMs <= LATEST_MS;
  if (untilMs !== undefined && !isTime) {
    throw new InvalidOptionError("until", until, "a Date, or milliseconds since the epoch");
  }
  if (override === undefined) return undefined;
  const isWord = override === "deny" || override === "exempt";
  const what = isWord ? override : checkPolicy(override);
  return { override: what, untilMs: isTime ? Math.ceil(untilMs) : undefined, comment };
}

function checkPolicy(override: unknown): Policy {
  if (typeof override === "object" && override !== null) return parsePolicy(override, "override");
  const allowed = 'a policy, "deny", "exempt", or undefined to remove it';
  throw new InvalidOptionError("override", withoutText(override), allowed);
}

function tooMany(): InvalidOptionError {
  const allowed = `at most ${MOST_OVERRIDES} overrides a limiter; remove some, or choose policies by a function`;
  return new InvalidOptionError("override", withoutText({}), allowed);
}
