/** sluice/undici: an interceptor for dispatchers of undici 7 and later. Imports nothing of undici. */
import { InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";
import { pickAll } from "../headers/header-source.js";
import { Exchange } from "./exchange.js";
import { type Call, OutgoingGate } from "./gate.js";
import {
  OUTGOING,
  type OutgoingOptions,
  type OutgoingSettings,
  outgoingSettings,
} from "./options.js";
import { isReplayable, snapshotOfDispatch } from "./snapshot.js";
import type { Dispatch, DispatchOptions, Handler } from "./undici-types.js";

export type {
  OutgoingLimiter,
  OutgoingOptions,
  OutgoingPermit,
  OutgoingRequest,
  OutgoingSemaphore,
  RetryOptions,
} from "./options.js";

/**
 * An interceptor for `dispatcher.compose(...)`: each request waits for a permit of `semaphore` and quota of `limiter`, and
 * for any pause that the server requested by `Retry-After` or `RateLimit`; refused and failed requests are tried again if
 * that is safe. The options are those of `limitFetch`. The requests of a `Client` or `Pool` name no origin: give them a
 * `key`.
 *
 * @throws InvalidOptionError
 * @example
 * import { limitInterceptor } from "sluice/undici";
 * // import { Agent, setGlobalDispatcher } from "undici";
 * // setGlobalDispatcher(new Agent().compose(limitInterceptor({ limiter, semaphore })));
 * const interceptor = limitInterceptor({ maxWait: "10s", retries: { attempts: 3 } });
 * console.log(interceptor.length); // 1
 */
export function limitInterceptor(
  options: OutgoingOptions = {},
): <D extends (options: never, handler: never) => boolean>(dispatch: D) => D {
  const settings = outgoingSettings(OUTGOING.read(options));
  const gate = new OutgoingGate(settings);
  // Only the shapes of undici's types are known here; each of its versions has its own names for them.
  return (dispatch) => intercept(dispatch as unknown as Dispatch, settings, gate) as never;
}

function intercept(dispatch: Dispatch, settings: OutgoingSettings, gate: OutgoingGate): Dispatch {
  // undici takes a dispatch for one by its two parameters.
  return (options: DispatchOptions, handler: Handler): boolean => {
    if (typeof handler.onRequestStart !== "function") {
      throw new InvalidOptionError(
        "handler",
        new InWords("one of undici 6 or before"),
        "undici 7 or later",
      );
    }
    const fixed = snapshotOfDispatch(options);
    const exchange = new Exchange(dispatch, fixed, handler, gate);
    exchange.start((signal) => callOf(gate, settings, fixed, signal));
    return true;
  };
}

function callOf(
  gate: OutgoingGate,
  settings: OutgoingSettings,
  options: DispatchOptions,
  signal: AbortSignal,
): Call {
  const { origin, path, method, headers, body } = options;
  if (origin === undefined && settings.keyOf === undefined) {
    throw new InvalidOptionError("key", undefined, "a key, for the request names no origin");
  }
  const url = new URL(path, origin ?? "http://origin.invalid");
  const request = {
    url,
    method: method.toUpperCase(),
    get headers() {
      return new Headers([...pickAll(headers)]);
    },
  };
  return gate.call(request, isReplayable(body), signal);
}
