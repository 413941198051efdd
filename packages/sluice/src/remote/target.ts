/** The address of a decision service, and how it is reached: the options of a RemoteStore, checked. */
import { type Duration, MIN_PERIOD_US } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import {
  byDefault,
  aCount,
  filled,
  milliseconds,
  optional,
  optionReader,
} from "../core/options.js";
import { HIDDEN } from "../core/shown.js";

/** The address of the service, and how it is asked. */
export interface RemoteTargetOptions {
  /** Of the service: "http://host:port", "https://…", with a path before /v1/store if a proxy needs one. */
  readonly url: string;
  /** Sent as a bearer token; a function is called for each request, so that tokens can be changed. Never shown. */
  readonly token?: string | (() => string) | undefined;
  /** A Unix socket on which the service listens; the URL says only the path then. */
  readonly socketPath?: string | undefined;
  /** Options of node:tls for an https:// URL, such as `ca`, `cert`, `key` and `servername`. */
  readonly tls?: object | undefined;
  /**
   * How long a request may be under way, 10 ms to 1 h; default 5 s. The service answers by then what it knows. It is longer
   * than any `timeout` of a limiter, which applies independently.
   */
  readonly requestTimeout?: Duration | undefined;
  /**
   * A connection that is unused for this time is closed, 100 ms to 1 h; default 4 s. Less than the service, or a proxy,
   * allows.
   */
  readonly idleTimeout?: Duration | undefined;
  /** Bytes of a request at most, 1,024 to 2^26; default 2^20. Batches are split by it. No more than the service takes. */
  readonly maxBodyBytes?: number | undefined;
}

export interface RemoteTarget {
  readonly url: URL;
  /** Its address, for messages. */
  readonly shown: string;
  readonly token: (() => string) | undefined;
  readonly socketPath: string | undefined;
  readonly tls: object | undefined;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxBodyBytes: number;
}

const LONGEST_US = 3600e6;
export const MOST_BODY_BYTES = 2 ** 26;
const URL_FORM = "http://host:port or https://host:port, without user, password, query or fragment";

export const TARGET = optionReader<RemoteTargetOptions>()({
  url: checkUrl,
  socketPath: optional(filled("the path of a socket")),
  tls: optional((option, value) => {
    if (typeof value === "object" && value !== null) return value;
    throw new InvalidOptionError(option, HIDDEN, "options for node:tls");
  }),
  token: optional(checkToken),
  requestTimeout: byDefault("5s", milliseconds(10 * MIN_PERIOD_US, LONGEST_US)),
  idleTimeout: byDefault("4s", milliseconds(100 * MIN_PERIOD_US, LONGEST_US)),
  maxBodyBytes: byDefault(2 ** 20, aCount(1024, MOST_BODY_BYTES)),
});

/** What the options, read by `TARGET` or a reader with its options, come to. @throws InvalidOptionError */
export function targetOf(options: ReturnType<typeof TARGET.read>): RemoteTarget {
  const { url, token, socketPath, tls, requestTimeout, idleTimeout, maxBodyBytes } = options;
  if (tls !== undefined && url.protocol !== "https:") {
    throw new InvalidOptionError("tls", HIDDEN, "an https:// URL beside it");
  }
  return {
    url,
    shown: socketPath ?? url.host,
    token,
    socketPath,
    tls,
    requestTimeoutMs: requestTimeout,
    idleTimeoutMs: idleTimeout,
    maxBodyBytes,
  };
}

/** The address of /v1/store below the given one. A URL may hold a password, so no error shows it. */
function checkUrl(option: string, value: unknown): URL {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
  const isRight =
    url !== undefined &&
    (url.protocol === "http:" || url.protocol === "https:") &&
    url.username === "" &&
    url.password === "" &&
    url.search === "" &&
    url.hash === "";
  if (!isRight) throw new InvalidOptionError(option, HIDDEN, URL_FORM);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/store`;
  return url;
}

const TOKEN = /^[\x21-\x7e]{1,4096}$/;

function checkToken(option: string, token: unknown): () => string {
  if (typeof token === "function") return () => checkedToken(option, (token as () => unknown)());
  const fixed = checkedToken(option, token);
  return () => fixed;
}

function checkedToken(option: string, token: unknown): string {
  if (typeof token === "string" && TOKEN.test(token)) return token;
  const allowed = "1 to 4,096 visible ASCII characters, or a function that returns them";
  throw new InvalidOptionError(option, HIDDEN, allowed);
}
