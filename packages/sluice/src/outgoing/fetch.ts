/** sluice/fetch: a fetch that waits for its turn and obeys what servers say. Needs no Node. */
import { checkFunction } from "../core/options.js";
import { releaseWithBody } from "./body.js";
import { type Call, Gate } from "./gate.js";
import {
  checkOutgoing,
  OUTGOING_OPTIONS,
  type OutgoingOptions,
  type OutgoingRequest,
} from "./options.js";
import { isReplayable } from "./retry.js";

export type {
  OutgoingLimiter,
  OutgoingOptions,
  OutgoingPermit,
  OutgoingRequest,
  OutgoingSemaphore,
  RetryOptions,
} from "./options.js";

type Fetch = typeof fetch;
type Input = Parameters<Fetch>[0];
type Init = Parameters<Fetch>[1];

export interface LimitFetchOptions extends OutgoingOptions {
  /** What sends the requests; default: the global `fetch`. */
  readonly fetch?: Fetch;
}

/**
 * A `fetch` of which every call first waits for a permit of `semaphore` and quota of `limiter`, and
 * for any pause that the server asked for by `Retry-After` or `RateLimit`. Refused and failed requests
 * are tried again, a bounded number of times, where that is safe: page "Outgoing calls" of the docs.
 *
 * Rejects as `fetch` does, and with what `acquire` throws: `MaxWaitExceededError` where the wait would
 * pass `maxWait`. The permit is held until the body is read, cancelled or failed.
 *
 * @throws InvalidOptionError
 * @example
 * import { limitFetch } from "sluice/fetch";
 * const polite = limitFetch({
 *   fetch: async () => new Response("hello"), // the default is the global fetch
 *   maxWait: "10s",
 *   retries: { attempts: 3 },
 * });
 * const response = await polite("https://example.org/");
 * console.log(await response.text()); // hello
 */
export function limitFetch(options: LimitFetchOptions = {}): Fetch {
  const gate = new Gate(checkOutgoing(options, [...OUTGOING_OPTIONS, "fetch"]));
  if (options.fetch !== undefined) checkFunction("fetch", options.fetch);
  // Looked up at each call, so that a fetch that is replaced later counts.
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init));
  return async (input, init) => {
    const call = callOf(gate, input, init);
    for (;;) {
      const release = await gate.enter(call);
      let delayMs: number | undefined;
      try {
        const outcome = await outcomeOf(() => send(input, init));
        if (outcome instanceof Failure) {
          if (outcome.isNetworkError) delayMs = gate.failed(call);
          if (delayMs === undefined) throw outcome.error;
        } else {
          delayMs = gate.answered(call, outcome.status, outcome.headers);
          if (delayMs === undefined) return releaseWithBody(outcome, release);
          await outcome.body?.cancel().catch(() => {});
        }
      } catch (error) {
        // Nobody else could: a permit that is held renews itself for ever.
        release();
        throw error;
      }
      release();
      await gate.backOff(call, delayMs);
    }
  };
}

/** What came of a try; a `fetch` of the user's may also throw before it makes a promise. */
async function outcomeOf(send: () => Promise<Response>): Promise<Response | Failure> {
  try {
    return await send();
  } catch (error) {
    return new Failure(error);
  }
}

class Failure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }

  /** The Fetch standard makes every network error a TypeError. */
  get isNetworkError(): boolean {
    return this.error instanceof TypeError;
  }
}

function callOf(gate: Gate, input: Input, init: Init): Call {
  const request = typeof input === "string" || input instanceof URL ? undefined : input;
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  const outgoing: OutgoingRequest = {
    url: new URL(request?.url ?? input, base),
    method: (init?.method ?? request?.method ?? "GET").toUpperCase(),
    headers: new Headers(init?.headers ?? request?.headers),
  };
  const { method } = outgoing;
  const isBodiless = method === "GET" || method === "HEAD" || request?.body === null;
  const isRepeatable =
    init?.body === undefined || init.body === null
      ? request === undefined || isBodiless
      : isReplayable(init.body);
  const signal = init?.signal === undefined ? request?.signal : init.signal;
  return gate.call(outgoing, isRepeatable, signal);
}
