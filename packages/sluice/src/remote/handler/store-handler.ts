/** What answers POST /v1/store over a store: bytes in, bytes out. It knows nothing of HTTP but the status. */
import { onAbort } from "../../core/abort.js";
import { startTimer } from "../../core/clock.js";
import { StoreTimeoutError } from "../../core/errors.js";
import { byDefault, aCount, optionReader } from "../../core/options.js";
import type { SemaphoreAnswer } from "../../algorithms/semaphore/kernel.js";
import type { Submitted } from "../../stores/hand-over.js";
import { checkStore, type Store, type StoreResult } from "../../stores/store.js";
import { MOST_BODY_BYTES } from "../target.js";
import { type CommandAnswer, type NoticesRequest, STORE_PROTOCOL } from "../wire.js";
import { type ErrorFrame, errorFrame } from "../wire-errors.js";
import { BadRequest, readObject, readWhole } from "./bad-request.js";
import { KnownRules } from "./known-rules.js";
import { askedStore, type AskedStore, readAsk } from "./run-asks.js";
import { callsFrame, type CallsFrame, type ReadRun, readRuns, submitAll } from "./run-calls.js";
import { commandAnswer, executeCommand, type ReadCommand, readCommands } from "./run-commands.js";
import { readNotices, Sessions } from "./sessions.js";

/** Options of `storeHandler`. */
export interface StoreHandlerOptions {
  /** Bytes of a request at most, 1,024 to 2^26; default 2^21: longer ones are refused with 413. */
  readonly maxBodyBytes?: number | undefined;
  /** Calls that wait for the store at once, 1 to 1,000,000; default 50,000. What comes beyond is refused with 429. */
  readonly maxPending?: number | undefined;
  /** Keyspaces, one for each policy's name, 1 to 1,000,000; default 10,000. Calls in more get STORE_FULL. */
  readonly maxKeyspaces?: number | undefined;
}

/** An answer, for a server to send. */
export interface StoreAnswer {
  /** The status of the HTTP answer. */
  readonly status: number;
  /** Of the body. */
  readonly contentType: "application/json" | "application/problem+json";
  /** The bytes to send. */
  readonly body: string;
}

/** Answers the requests of RemoteStores over a store. */
export interface StoreHandler {
  /**
   * Answers a request. Never rejects. `signal` fires when the client no longer waits for the answer: what the store has not
   * sent to its server by then is dropped.
   */
  handle(body: Uint8Array, signal?: AbortSignal): Promise<StoreAnswer>;
  /** Calls and commands that wait for the store now. */
  readonly pending: number;
  /** Answers at once those that wait for notices, from now on too: nothing waits any more. Calls are answered as before. */
  close(): void;
}

/** The longest that a request may ask its calls to take. */
const LONGEST_WITHIN_MS = 3_600_000;
const DEFAULT_WITHIN_MS = 5000;

/**
 * Answers requests of `RemoteStore` by `store`. The server must authenticate its clients: each of them can read and change
 * all that the store holds.
 *
 * @throws InvalidOptionError
 * @example
 * import { createServer } from "node:http";
 * import { MemoryStore } from "sluice";
 * import { storeHandler } from "sluice/remote";
 * const handler = storeHandler(new MemoryStore());
 * const answer = await handler.handle(Buffer.from('{"v":1}'));
 * console.log(answer.status, answer.body); // 200 {"v":1}
 */
export function storeHandler(store: Store, options: StoreHandlerOptions = {}): StoreHandler {
  return new HandlerOfStore(checkStore("store", store), options);
}

/** What a request asks for: read as a whole, before anything of it is done. */
interface ReadRequest {
  readonly withinMs: number;
  readonly runs: readonly ReadRun[] | undefined;
  readonly commands: readonly ReadCommand[] | undefined;
  readonly ask: (() => Promise<unknown>) | undefined;
  readonly notices: NoticesRequest | undefined;
}

const OPTIONS = optionReader<StoreHandlerOptions>()({
  maxBodyBytes: byDefault(2 ** 21, aCount(1024, MOST_BODY_BYTES)),
  maxPending: byDefault(50_000, aCount(1, 1e6)),
  maxKeyspaces: byDefault(10_000, aCount(1, 1e6)),
});

class HandlerOfStore implements StoreHandler {
  pending = 0;
  readonly #asked: AskedStore;
  readonly #maxBodyBytes: number;
  readonly #maxPending: number;
  readonly #known: KnownRules;
  readonly #sessions: Sessions;

  constructor(store: Store, options: StoreHandlerOptions) {
    const { maxBodyBytes, maxPending, maxKeyspaces } = OPTIONS.read(options);
    this.#asked = askedStore(store);
    this.#maxBodyBytes = maxBodyBytes;
    this.#maxPending = maxPending;
    this.#known = new KnownRules(store, maxKeyspaces);
    this.#sessions = new Sessions(store);
  }

  async handle(body: Uint8Array, signal?: AbortSignal): Promise<StoreAnswer> {
    try {
      const answer = await this.#answer(this.#read(frameOf(body, this.#maxBodyBytes)), signal);
      const contentType = "application/json";
      return { status: 200, contentType, body: JSON.stringify({ v: STORE_PROTOCOL, ...answer }) };
    } catch (error) {
      return problem(error);
    }
  }

  close(): void {
    this.#sessions.close();
  }

  /** @throws BadRequest */
  #read({ within, semaphores, ask, notices, ...frame }: Frame): ReadRequest {
    const read = <T>(value: unknown, by: (value: unknown) => T): T | undefined =>
      value === undefined ? undefined : by(value);
    return {
      withinMs:
        read(within, (ms) => readWhole("within", ms, 1, LONGEST_WITHIN_MS)) ?? DEFAULT_WITHIN_MS,
      commands: read(semaphores, readCommands),
      ask: read(ask, (value) => readAsk(this.#asked, value)),
      notices: read(notices, readNotices),
      runs: read(frame["calls"], () => readRuns(frame, this.#known)),
    };
  }

  async #answer(request: ReadRequest, signal: AbortSignal | undefined): Promise<object> {
    const { runs, commands, ask, notices, withinMs } = request;
    const until: Until = { withinMs, signal };
    const [calls, semaphores, asked, told] = await Promise.all([
      runs && this.#decide(runs, until),
      commands && this.#execute(commands, until),
      ask && this.#answerAsk(ask, until),
      notices && this.#sessions.wait(notices, withinMs, signal),
    ]);
    return {
      ...calls,
      ...(semaphores !== undefined && { semaphores }),
      ...asked,
      ...(told !== undefined && { notices: told }),
    };
  }

  async #decide(runs: readonly ReadRun[], until: Until): Promise<CallsFrame> {
    const { store } = this.#asked;
    const calls = runs.flatMap((run) => run.calls.map(({ call }) => call));
    const marks = store.marksHandOver === true;
    const outcomes = await this.#all<StoreResult>(calls, marks, until, (settle) => {
      submitAll(store, runs, settle);
    });
    return callsFrame(runs, outcomes);
  }

  async #execute(
    commands: readonly ReadCommand[],
    until: Until,
  ): Promise<readonly (CommandAnswer | ErrorFrame)[]> {
    const { semaphores } = this.#asked.store;
    const marks = semaphores?.marksHandOver === true;
    const outcomes = await this.#all<SemaphoreAnswer>(commands, marks, until, (settle) => {
      commands.forEach((command, i) => {
        void executeCommand(semaphores, command, command).then((outcome) => settle(i, outcome));
      });
    });
    return outcomes.map((outcome) =>
      outcome instanceof Error ? errorFrame(outcome) : commandAnswer(outcome),
    );
  }

  async #answerAsk(ask: () => Promise<unknown>, until: Until): Promise<object> {
    const [outcome] = await this.#all<{ value: unknown }>([{}], false, until, (settle) => {
      ask().then(
        (value) => settle(0, { value }),
        (error: unknown) => settle(0, error as Error),
      );
    });
    return outcome instanceof Error ? { error: errorFrame(outcome) } : (outcome ?? {});
  }

  /** The outcomes of all that `begin` begins, by index; for those that take too long, an outcome that says so. */
  #all<T extends object>(
    submitted: readonly Submitted[],
    marksHandOver: boolean,
    { withinMs, signal }: Until,
    begin: (settle: (place: number, outcome: T | Error) => void) => void,
  ): Promise<readonly (T | Error)[]> {
    const count = submitted.length;
    if (count === 0) return Promise.resolve([]);
    if (this.pending + count > this.#maxPending) {
      throw new BadRequest(`${this.pending} calls wait for the store already`, 429);
    }
    this.pending += count;
    const outcomes = new Array<T | Error | undefined>(count).fill(undefined);
    return new Promise((resolve) => {
      let left = count;
      const end = (): void => {
        timer.cancel();
        endWatch?.();
        resolve(outcomes as (T | Error)[]);
      };
      const giveUp = (): void => {
        submitted.forEach((each, i) => {
          if (outcomes[i] !== undefined) return;
          each.abandoned = true;
          const sent = !marksHandOver || each.handOver !== undefined;
          outcomes[i] = new StoreTimeoutError(withinMs, { sent });
        });
        end();
      };
      const timer = startTimer(withinMs, giveUp);
      const endWatch = signal && onAbort(signal, giveUp);
      begin((place, outcome) => {
        this.pending -= 1;
        left -= 1;
        outcomes[place] ??= outcome;
        if (left === 0) end();
      });
      if (signal?.aborted === true) giveUp();
    });
  }
}

type Frame = Readonly<Record<string, unknown>>;

/** How long a request may wait for the store, and the signal that its client no longer waits. */
interface Until {
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** @throws BadRequest */
function frameOf(body: Uint8Array, maxBytes: number): Frame {
  if (body.byteLength > maxBytes) {
    throw new BadRequest(`at most ${maxBytes} bytes go together`, 413);
  }
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    throw new BadRequest("the body must be JSON in UTF-8");
  }
  const frame = readObject("the body", value);
  if (frame["v"] === STORE_PROTOCOL) return frame;
  throw new BadRequest(`v must be ${STORE_PROTOCOL}, the version that this service speaks`);
}

function problem(error: unknown): StoreAnswer {
  const isBad = error instanceof BadRequest;
  const status = isBad ? error.status : 500;
  const detail = isBad ? error.message : "the service failed";
  const versions = [STORE_PROTOCOL];
  const body = JSON.stringify({ title: "Store call refused", status, detail, versions });
  return { status, contentType: "application/problem+json", body };
}
