/** Why a request was not answered, in words that say what to mend. */
import { StoreUnavailableError } from "../core/errors.js";
import { fieldOf } from "../core/shown.js";
import { STORE_PROTOCOL } from "./wire.js";

/** Errors of a connection that was never there: nothing was counted. */
const NOT_CONNECTED: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EACCES",
]);

/** The connection failed. */
export function failureOf(error: Error, shown: string): StoreUnavailableError {
  const code = fieldOf(error, "code");
  const said = typeof code === "string" ? code : error.message;
  const message = NOT_CONNECTED.has(code)
    ? `the service at ${shown} cannot be reached: ${said}`
    : `the connection to the service at ${shown} ended before the answer: ${said}`;
  return new StoreUnavailableError(message, { cause: error });
}

const REASONS: ReadonlyMap<number, string> = new Map([
  [401, "it does not know the token"],
  [403, "the token lacks the scope store"],
  [404, "there is no /v1/store"],
  [413, "the request is longer than it takes; see maxBodyBytes"],
]);

/** The service answered with another status than 200. */
export function refusalOf(status: number, answer: unknown, shown: string): StoreUnavailableError {
  const versions = fieldOf(answer, "versions");
  const detail = fieldOf(answer, "detail");
  const busy = status === 429;
  let reason = REASONS.get(status) ?? (typeof detail === "string" ? detail.slice(0, 200) : "");
  if (Array.isArray(versions) && !versions.includes(STORE_PROTOCOL)) {
    reason = `it speaks version ${versions.slice(0, 9).join(", ")} of /v1/store, this library version ${STORE_PROTOCOL}`;
  }
  const why = reason === "" ? "" : `: ${reason}`;
  // A request that is too long fails because of its length, and is no evidence against the service.
  return new StoreUnavailableError(`the service at ${shown} refused with status ${status}${why}`, {
    busy,
    ofKey: status === 413,
  });
}
