/** sluice/fetch: a fetch that waits for its turn and obeys what servers say. Needs no Node. */
import { checkFunction, optional, optionReader } from "../core/options.js";
import { discardBody, releaseWithBody } from "./body.js";
import { type Call, OutgoingGate } from "./gate.js";
import { isNetworkError } from "./network-error.js";
import { OUTGOING, type OutgoingOptions, outgoingSettings } from "./options.js";
import { snapshotOfFetch } from "./snapshot.js";

export type {
  OutgoingLimiter,
  OutgoingOptions,
  OutgoingPermit,
  OutgoingRequest,
  OutgoingSemaphore,
  RetryOptions,
} from "./options.js";

/** The global `fetch`, or one like it. */
export type Fetch = typeof fetch;

/** Options of `limitFetch`. */
export interface LimitFetchOptions extends OutgoingOptions {
  /** What sends the requests; default: the global `fetch`. */
  readonly fetch?: Fetch | undefined;
}

const OPTIONS = optionReader<LimitFetchOptions>()({
  ...OUTGOING.checks,
  fetch: optional(checkFunction),
});

/**
 * A `fetch` of which every call first waits for a permit of `semaphore` and quota of `limiter`, and
 * for any pause that the server requested by `Retry-After` or `RateLimit`. Refused and failed
 * requests are tried again, a bounded number of times, if that is safe: page "Outgoing calls" of
 * the docs.
 *
 * Rejects as `fetch` does, and with what `acquire` throws: `MaxWaitExceededError` if the wait would
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
  const checked = OPTIONS.read(options);
  const gate = new OutgoingGate(outgoingSettings(checked));
  // Looked up at each call, so that a fetch that is replaced later counts.
  const send: Fetch = checked.fetch ?? ((input, init) => fetch(input, init));
  return async (input, init) => {
    const snapshot = snapshotOfFetch(input, init);
    const call = gate.call(snapshot.request, snapshot.isReplayable, snapshot.signal);
    for (;;) {
      const release = await gate.enter(call);
      let outcome: Response | number;
      try {
        outcome = await tryOnce(gate, call, () => send(...snapshot.argumentsOfTry()));
        if (typeof outcome !== "number" && !gate.releasesAtHeaders) {
          return releaseWithBody(outcome, release);
        }
      } catch (error) {
        // Without this, the permit would renew itself for ever.
        release();
        throw error;
      }
      release();
      if (typeof outcome !== "number") return outcome;
      await gate.backOff(call, outcome);
    }
  };
}

/** The answer, or the milliseconds after which to try again. */
async function tryOnce(
  gate: OutgoingGate,
  call: Call,
  send: () => Promise<Response>,
): Promise<Response | number> {
  let response: Response;
  try {
    // A `fetch` of the user's may throw before it makes a promise, too.
    response = await send();
  } catch (error) {
    const delayMs = isNetworkError(error) ? gate.failed(call) : undefined;
    if (delayMs === undefined) throw error;
    return delayMs;
  }
  const delayMs = gate.answered(call, response);
  if (delayMs === undefined) return response;
  discardBody(response);
  return delayMs;
}
