/**
 * A consume that finds the store idle goes alone: without what a batch needs to be put together and taken apart again.
 * What is unusual about its answer goes the way of batches from there on.
 */
import { REASON, VERBS } from "../../algorithms/decide.js";
import type { Rule } from "../../algorithms/rule.js";
import { type Clock, monotonicMs } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { keyNameOf } from "../../core/identity.js";
import type { Debit, DebitResult, Outcome, StoreCall, StoreResult } from "../store.js";
import { handOverNow, type SettleCall, writtenHandOver } from "./batcher.js";
import type { AskScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { LoneScripts } from "./lone-scripts.js";
import type { RoundTripOptions } from "./round-trips.js";
import type { Script } from "./scripts.js";
import type { Placement } from "./slot.js";
import { isStraight } from "./straight.js";
import { type DecodedCall, decodeBatch, leastCost, PLAIN } from "./wire.js";

export interface LoneCallsOptions extends RoundTripOptions {
  /** The client's, which does not end with the store. */
  readonly ask: AskScript;
  /** Whether a script that is asked now is on its way when `ask` returns. */
  readonly writesAtOnce: () => boolean;
  /** Undefined for the server's own. */
  readonly clock: Clock | undefined;
  /** Undefined without partitions. */
  readonly placement: Placement | undefined;
  /** Settles a call that came to something unusual, maybe after another try. */
  readonly settle: (
    call: StoreCall,
    outcome: Promise<Outcome>,
    sentMs: number,
    settle: SettleCall,
  ) => Promise<unknown>;
}

/** What consumes of the same costs and block over the same policies are sent with, made when the first one is. */
interface Prepared {
  readonly debits: readonly Debit[];
  readonly blockUs: number;
  readonly script: Script;
  readonly args: readonly string[];
}

/**
 * One call is on its way at a time: the next one finds the store busy until this one has ended. So there is no object and no
 * function for each.
 */
export class LoneCalls {
  readonly #options: LoneCallsOptions;
  readonly #scripts = new LoneScripts();
  /** By the first of the policies. */
  readonly #prepared = new WeakMap<Rule, Prepared>();
  /** The call under way; undefined once it has ended. */
  #call: StoreCall | undefined;
  #done: ((outcome: Outcome) => void) | undefined;
  /** Whether neither a reply came nor an error. */
  #isUnderWay = false;
  #beganMs = 0;
  readonly #replied: (reply: unknown) => void;
  readonly #failed: (error: unknown) => void;

  constructor(options: LoneCallsOptions) {
    this.#options = options;
    this.#replied = (reply) => this.#onReply(reply);
    this.#failed = (reason) => this.#onError(reason);
    const { closing } = options;
    closing.listeners.add(() => {
      if (this.#call === undefined || !this.#isUnderWay) return;
      this.#goOn(this.#call, Promise.resolve(closing.error()));
    });
  }

  /** Makes ready what consumes over these policies will be sent with, again and again. */
  prepare(rules: readonly Rule[]): void {
    this.#scripts.prepare(rules);
  }

  /** Sends a call whose outcome `done` gets, once; false if it is not one that goes alone, and nothing was done. */
  send(call: StoreCall, done: (outcome: Outcome) => void): boolean {
    const { ask, closing, counts, clock, writesAtOnce } = this.#options;
    const { batchBegun, batch } = this.#options.events.to;
    const isHeard = batchBegun !== undefined || batch !== undefined;
    if (call.verb !== VERBS.consume || isHeard) return false;
    const prepared = closing.isClosed ? undefined : this.#preparedFor(call);
    if (prepared === undefined) return false;
    const { script, args: usual } = prepared;
    const args = clock === undefined ? usual : [String(clock.nowUs()), ...usual.slice(1)];
    this.#call = call;
    this.#done = done;
    this.#isUnderWay = true;
    this.#beganMs = monotonicMs();
    try {
      ask(script.sha, script.source, this.#keysOf(call), args, this.#replied, this.#failed);
    } catch (error) {
      this.#failed(error);
    }
    // One without a turn of the event loop's own, which takes a tenth of all that a lone call does.
    call.handOver = writesAtOnce() ? writtenHandOver(this.#beganMs) : handOverNow();
    counts.batchCalls.observe(1);
    return true;
  }

  /** Undefined for a call that does not go alone. */
  #preparedFor({ debits, blockUs }: StoreCall): Prepared | undefined {
    const { rule } = debits[0] as Debit;
    const known = this.#prepared.get(rule);
    if (known?.blockUs === blockUs && areAlike(known.debits, debits)) return known;
    const rules = debits.map((debit) => debit.rule);
    if (!isStraight(rules)) return undefined;
    const { script, numbers } = this.#scripts.of(rules);
    const costs = debits.map(({ cost }) => String(cost));
    const prepared = { debits, blockUs, script, args: ["", String(blockUs), ...costs, ...numbers] };
    this.#prepared.set(rule, prepared);
    return prepared;
  }

  #keysOf({ debits }: StoreCall): readonly string[] {
    if (debits.length === 1) return [this.#keyOf(debits[0] as Debit)];
    return debits.map((debit) => this.#keyOf(debit));
  }

  #keyOf({ keyspace, id }: Debit): string {
    const { placement } = this.#options;
    if (placement === undefined) return keyNameOf(keyspace.name, id);
    return `${keyspace.name}:${placement.endOf(id)}`;
  }

  #onReply(reply: unknown): void {
    const call = this.#call;
    this.#cameBack(undefined);
    if (call === undefined) return;
    const outcome = admittedBy(call, reply);
    if (outcome !== undefined) {
      this.#end(call, outcome);
      return;
    }
    const later = Promise.resolve(reply).then((said) => unusual(call, said));
    this.#goOn(call, later);
  }

  #onError(reason: unknown): void {
    const call = this.#call;
    this.#cameBack(reason as Error);
    if (call !== undefined) this.#goOn(call, Promise.resolve(asScriptFailure(reason)));
  }

  #cameBack(error: Error | undefined): void {
    const { counts, events } = this.#options;
    this.#isUnderWay = false;
    const durationMs = monotonicMs() - this.#beganMs;
    counts.tripMs[error === undefined ? "ok" : "error"].observe(durationMs);
    events.to.roundTrip?.({ durationMs, error });
  }

  #goOn(call: StoreCall, outcome: Promise<Outcome>): void {
    const { settle } = this.#options;
    void settle(call, outcome, this.#beganMs, (_, settled) => this.#end(call, settled));
  }

  /** Nothing comes after the end of the store. */
  #end(call: StoreCall, outcome: Outcome): void {
    const done = this.#done;
    if (this.#call !== call || done === undefined) return;
    this.#call = undefined;
    this.#done = undefined;
    done(outcome);
  }
}

/** Whether these are debits of the same costs on the same policies. */
function areAlike(ours: readonly Debit[], theirs: readonly Debit[]): boolean {
  if (ours.length !== theirs.length) return false;
  for (let i = 0; i < ours.length; i++) {
    const a = ours[i] as Debit;
    const b = theirs[i] as Debit;
    if (a.rule !== b.rule || a.cost !== b.cost) return false;
  }
  return true;
}

/** What a reply that admits the call says of it; undefined if it is another reply. */
function admittedBy({ debits }: StoreCall, reply: unknown): StoreResult | undefined {
  if (!Array.isArray(reply) || reply.length !== 2 * debits.length + 2) return undefined;
  for (let i = 0; i < reply.length; i++) if (typeof reply[i] !== "number") return undefined;
  const numbers = reply as readonly number[];
  if (numbers[1] !== PLAIN) return undefined;
  const nowUs = numbers[0] as number;
  if (debits.length === 1) {
    return { nowUs, granted: (debits[0] as Debit).cost, debits: [admittedAt(numbers, 0)] };
  }
  const results = new Array<DebitResult>(debits.length);
  for (let i = 0; i < debits.length; i++) results[i] = admittedAt(numbers, i);
  return { nowUs, granted: leastCost(debits), debits: results };
}

/** The part of a reply that is of the debit with this index. */
function admittedAt(reply: readonly number[], i: number): DebitResult {
  const available = reply[2 * i + 2] as number;
  const resetUs = reply[2 * i + 3] as number;
  return { reason: REASON.ok, available, waitUs: 0, resetUs };
}

/** Any other reply, or an error of what is no reply. Calendars, which may have to go again, do not go alone. */
function unusual(call: StoreCall, reply: unknown): Outcome {
  const [outcome] = decodeBatch([call], reply).outcomes as readonly [DecodedCall];
  if (!("needsCalendarAtUs" in outcome)) return outcome;
  throw new StoreUnavailableError("the script needs a calendar, and there is none");
}
