/** A RedisStore on the server's own clock, with the pure kernels beside it at the times the server tells. */
import { isDeepStrictEqual } from "node:util";
import type { Kernel, State } from "../../src/algorithms/kernel.js";
import { LOG_FULL } from "../../src/algorithms/kernel.js";
import { step } from "../../src/algorithms/step.js";
import { keyNameOf } from "../../src/core/identity.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { type RedisClientLike, scriptRunner } from "../../src/stores/redis/clients/index.js";
import type {
  StoreResult,
  Done,
  DebitResult,
  Keyspace,
  Store,
  StoreCall,
  Debit,
} from "../../src/stores/store.js";

/** What the last change of a key came to. */
export interface Life {
  readonly writtenAtUs: number;
  /** When the state is the same as none; undefined if it was at once, and so nothing is stored. */
  readonly freshAtUs: number | undefined;
}

export class MirroredStore implements Store {
  readonly external = true;
  /** Every key ever changed. */
  readonly lives: ReadonlyMap<string, Life>;
  /** Where the server's answers are not the kernels'. */
  readonly differences: string[] = [];
  readonly #store: RedisStore;
  readonly #states = new Map<string, State | undefined>();
  readonly #lives = new Map<string, Life>();
  /** The server's clock at the last trip. */
  #tripUs = 0;
  #outstanding = 0;
  #touched: readonly string[] = [];

  constructor(client: RedisClientLike) {
    this.lives = this.#lives;
    const run = scriptRunner(client);
    this.#store = new RedisStore({
      client: async (...call: Parameters<typeof run>) => {
        const reply = (await run(...call)) as number[];
        this.#tripUs = reply[0] as number;
        return reply;
      },
    });
  }

  /** Keys of the last call, or of those that were under way together. */
  get touched(): readonly string[] {
    return this.#touched;
  }

  open(name: string, kernel: Kernel): Keyspace {
    return this.#store.open(name, kernel);
  }

  claim(...args: Parameters<RedisStore["claim"]>): void {
    this.#store.claim(...args);
  }

  release(...args: Parameters<RedisStore["release"]>): void {
    this.#store.release(...args);
  }

  submit(call: StoreCall, done: Done): void {
    if (this.#outstanding === 0) this.#touched = [];
    this.#outstanding += 1;
    this.#touched = [...this.#touched, ...call.debits.map(keyOf)];
    // A trip settles its calls in the order in which it decided them.
    this.#store.submit(call, (outcome) => {
      this.#outstanding -= 1;
      this.#follow(call, this.#tripUs, outcome);
      done(outcome);
    });
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #follow(call: StoreCall, rawUs: number, actual: StoreResult | Error): void {
    const { debits } = call;
    const keys = debits.map(keyOf);
    const before = keys.map((key) => this.#states.get(key));
    const after = step(
      debits.map(({ rule }) => rule),
      before,
      { ...call, cost: debits.map(({ cost }) => cost), nowUs: rawUs },
    );
    const expected =
      after.readiness === LOG_FULL
        ? "log full"
        : {
            nowUs: after.nowUs,
            granted: after.granted,
            debits: after.debits.map(answerOf),
            ...(after.receipt !== undefined && { receipt: after.receipt }),
          };
    if (!isDeepStrictEqual(actual instanceof Error ? "log full" : actual, expected)) {
      const told = actual instanceof Error ? String(actual) : JSON.stringify(actual);
      this.differences.push(`${JSON.stringify(call)}: ${told}, not ${JSON.stringify(expected)}`);
    }
    if (after.states === before) return;
    for (const [i, key] of keys.entries()) {
      const state = after.states[i];
      const resetUs = after.debits[i]?.resetUs ?? 0;
      this.#states.set(key, state);
      const freshAtUs = state === undefined ? undefined : rawUs + resetUs;
      this.#lives.set(key, { writtenAtUs: rawUs, freshAtUs });
    }
  }
}

const answerOf = ({ reason, available, waitUs, resetUs }: DebitResult): DebitResult => ({
  reason,
  available,
  waitUs,
  resetUs,
});

const keyOf = ({ keyspace, id }: Debit): string => keyNameOf(keyspace.name, id);
