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
import { handOverNow, type SettleCall } from "./batcher.js";
import type { RunScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { canGoAlone, LoneScripts } from "./lone-scripts.js";
import type { RoundTripOptions } from "./round-trips.js";
import type { Script } from "./scripts.js";
import type { Placement } from "./slot.js";
import { type DecodedCall, decodeBatch, PLAIN } from "./wire.js";

export interface LoneCallsOptions extends RoundTripOptions {
  /** The client's, which does not end with the store. */
  readonly run: RunScript;
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

/** One call on its way. */
interface Trip {
  readonly call: StoreCall;
  readonly done: (outcome: Outcome) => void;
  /** Called if the store is closed meanwhile. */
  readonly close: () => void;
  readonly beganMs: number;
  isOver: boolean;
}

export class LoneCalls {
  readonly #options: LoneCallsOptions;
  readonly #scripts = new LoneScripts();
  /** By the first of the policies. */
  readonly #prepared = new WeakMap<Rule, Prepared>();

  constructor(options: LoneCallsOptions) {
    this.#options = options;
  }

  /** Makes ready what consumes over these policies will be sent with, again and again. */
  prepare(rules: readonly Rule[]): void {
    this.#scripts.prepare(rules);
  }

  /** Sends a call whose outcome `done` gets, once; false if it is not one that goes alone, and nothing was done. */
  send(call: StoreCall, done: (outcome: Outcome) => void): boolean {
    const { run, closing, counts, clock } = this.#options;
    const { batchBegun, batch } = this.#options.events.to;
    const isHeard = batchBegun !== undefined || batch !== undefined;
    if (call.verb !== VERBS.consume || isHeard) return false;
    const prepared = closing.isClosed ? undefined : this.#preparedFor(call);
    if (prepared === undefined) return false;
    const { script, args: usual } = prepared;
    const args = clock === undefined ? usual : [String(clock.nowUs()), ...usual.slice(1)];
    const close = (): void => this.#goOn(trip, Promise.resolve(closing.error()));
    const trip: Trip = { call, done, close, beganMs: monotonicMs(), isOver: false };
    closing.listeners.add(close);
    try {
      run(script.sha, script.source, this.#keysOf(call), args).then(
        (reply) => this.#replied(trip, reply),
        (error: unknown) => this.#failed(trip, error),
      );
    } catch (error) {
      this.#failed(trip, error);
    }
    call.handOver = handOverNow();
    counts.batchCalls.observe(1);
    return true;
  }

  /** Undefined for a call that does not go alone. */
  #preparedFor({ debits, blockUs }: StoreCall): Prepared | undefined {
    const { rule } = debits[0] as Debit;
    const known = this.#prepared.get(rule);
    if (known?.blockUs === blockUs && areAlike(known.debits, debits)) return known;
    const rules = debits.map((debit) => debit.rule);
    if (!canGoAlone(rules)) return undefined;
    const { script, numbers } = this.#scripts.of(rules);
    const costs = debits.map(({ cost }) => String(cost));
    const prepared = { debits, blockUs, script, args: ["", String(blockUs), ...costs, ...numbers] };
    this.#prepared.set(rule, prepared);
    return prepared;
  }

  #keysOf({ debits }: StoreCall): readonly string[] {
    const { placement } = this.#options;
    return debits.map(({ keyspace, id }) => {
      if (placement === undefined) return keyNameOf(keyspace.name, id);
      return `${keyspace.name}:${placement.endOf(id)}`;
    });
  }

  #replied(trip: Trip, reply: unknown): void {
    this.#ended(trip, undefined);
    const { call } = trip;
    const outcome = admittedBy(call, reply);
    if (outcome !== undefined) {
      this.#end(trip, outcome);
      return;
    }
    this.#goOn(
      trip,
      Promise.resolve(reply).then((said) => unusual(call, said)),
    );
  }

  #failed(trip: Trip, error: unknown): void {
    this.#ended(trip, error as Error);
    this.#goOn(trip, Promise.resolve(asScriptFailure(error)));
  }

  #ended({ close, beganMs }: Trip, error: Error | undefined): void {
    const { closing, counts, events } = this.#options;
    closing.listeners.delete(close);
    const durationMs = monotonicMs() - beganMs;
    counts.tripMs[error === undefined ? "ok" : "error"].observe(durationMs);
    events.to.roundTrip?.({ durationMs, error });
  }

  #goOn(trip: Trip, outcome: Promise<Outcome>): void {
    const { settle } = this.#options;
    void settle(trip.call, outcome, trip.beganMs, (_, settled) => this.#end(trip, settled));
  }

  /** Nothing comes after the end of the store. */
  #end(trip: Trip, outcome: Outcome): void {
    if (trip.isOver) return;
    trip.isOver = true;
    trip.done(outcome);
  }
}

/** Whether these are debits of the same costs on the same policies. */
function areAlike(ours: readonly Debit[], theirs: readonly Debit[]): boolean {
  if (ours.length !== theirs.length) return false;
  for (let i = 0; i < ours.length; i++) {
    const [a, b] = [ours[i] as Debit, theirs[i] as Debit];
    if (a.rule !== b.rule || a.cost !== b.cost) return false;
  }
  return true;
}

/** What a reply that admits the call says of it; undefined where it is another one. */
function admittedBy({ debits }: StoreCall, reply: unknown): StoreResult | undefined {
  if (!Array.isArray(reply) || reply.length !== 2 * debits.length + 2) return undefined;
  const [nowUs, head] = reply as readonly unknown[];
  if (head !== PLAIN || typeof nowUs !== "number") return undefined;
  const results: DebitResult[] = [];
  let granted = Number.POSITIVE_INFINITY;
  for (let i = 0; i < debits.length; i++) {
    const available: unknown = reply[2 * i + 2];
    const resetUs: unknown = reply[2 * i + 3];
    if (typeof available !== "number" || typeof resetUs !== "number") return undefined;
    results.push({ reason: REASON.ok, available, waitUs: 0, resetUs });
    granted = Math.min(granted, (debits[i] as Debit).cost);
  }
  return { nowUs, granted, debits: results };
}

/** Any other reply, or an error of what is no reply. Calendars, which may have to go again, do not go alone. */
function unusual(call: StoreCall, reply: unknown): Outcome {
  const [outcome] = decodeBatch([call], reply).outcomes as readonly [DecodedCall];
  if (!("needsCalendarAtUs" in outcome)) return outcome;
  throw new StoreUnavailableError("the script asks for a calendar where there is none");
}
