/** Where a decision service is, and how it is reached: the options of a RemoteStore, checked. */
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkCount } from "../core/options.js";
import { HIDDEN, withoutText } from "../core/shown.js";

/** Where the service is, and how it is asked. */
export interface RemoteTargetOptions {
  /** Of the service: "http://host:port", "https://…", with a path before /v1/store where a proxy wants one. */
  readonly url: string;
  /** Sent as a bearer token; a function is asked for each request, so that tokens can be changed. Never shown. */
  readonly token?: string | (() => string) | undefined;
  /** A Unix socket on which the service listens; the URL says only the path then. */
  readonly socketPath?: string | undefined;
  /** Options of node:tls for an https:// URL, such as `ca`, `cert`, `key` and `servername`. */
  readonly tls?: object | undefined;
  /**
   * How long a request may be under way, 10 ms to 1 h; default 5 s. The service answers by then what it knows. It is longer
   * than any `timeout` of a limiter, which goes on counting by itself.
   */
  readonly requestTimeout?: Duration | undefined;
  /** A connection unused for so long is closed, 100 ms to 1 h; default 4 s. Less than the service, or a proxy, allows. */
  readonly idleTimeout?: Duration | undefined;
  /** Bytes of a request at most, 1,024 to 2^26; default 2^20. Batches are split by it. No more than the service takes. */
  readonly maxBodyBytes?: number | undefined;
}

export const TARGET_OPTIONS = [
  "url",
  "token",
  "socketPath",
  "tls",
  "requestTimeout",
  "idleTimeout",
  "maxBodyBytes",
] as const satisfies readonly (keyof RemoteTargetOptions)[];

export interface RemoteTarget {
  readonly url: URL;
  /** Where it is, for messages. */
  readonly shown: string;
  readonly token: (() => string) | undefined;
  readonly socketPath: string | undefined;
  readonly tls: object | undefined;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxBodyBytes: number;
}

const LONGEST_US = 3600e6;
const URL_FORM = "http://host:port or https://host:port, without user, password, query or fragment";

/** @throws InvalidOptionError */
export function checkTarget(options: RemoteTargetOptions): RemoteTarget {
  const { token, socketPath, tls, requestTimeout = "5s", idleTimeout = "4s" } = options;
  const { maxBodyBytes = 2 ** 20 } = options;
  const url = checkUrl(options.url);
  if (socketPath !== undefined && (typeof socketPath !== "string" || socketPath === "")) {
    throw new InvalidOptionError("socketPath", withoutText(socketPath), "the path of a socket");
  }
  if (tls !== undefined && (typeof tls !== "object" || tls === null)) {
    throw new InvalidOptionError("tls", HIDDEN, "options for node:tls");
  }
  if (tls !== undefined && url.protocol !== "https:") {
    throw new InvalidOptionError("tls", HIDDEN, "an https:// URL beside it");
  }
  return {
    url,
    shown: socketPath ?? url.host,
    token: checkToken(token),
    socketPath,
    tls,
    requestTimeoutMs:
      toMicroseconds("requestTimeout", requestTimeout, 10 * MIN_PERIOD_US, LONGEST_US) / 1e3,
    idleTimeoutMs:
      toMicroseconds("idleTimeout", idleTimeout, 100 * MIN_PERIOD_US, LONGEST_US) / 1e3,
    maxBodyBytes: checkCount("maxBodyBytes", maxBodyBytes, 1024, 2 ** 26),
  };
}

/** The address of /v1/store below the given one. A URL may hold a password, so no error shows it. */
function checkUrl(value: unknown): URL {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
  const isRight =
    url !== undefined &&
    (url.protocol === "http:" || url.protocol === "https:") &&
    url.username === "" &&
    url.password === "" &&
    url.search === "" &&
    url.hash === "";
  if (!isRight) throw new InvalidOptionError("url", HIDDEN, URL_FORM);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/store`;
  return url;
}

const TOKEN = /^[\x21-\x7e]{1,4096}$/;

function checkToken(token: unknown): (() => string) | undefined {
  if (token === undefined) return undefined;
  if (typeof token === "function") {
    return () => checkedToken((token as () => unknown)());
  }
  const fixed = checkedToken(token);
  return () => fixed;
}

function checkedToken(token: unknown): string {
  if (typeof token === "string" && TOKEN.test(token)) return token;
  const allowed = "1 to 4,096 visible ASCII characters, or a function that returns them";
  throw new InvalidOptionError("token", HIDDEN, allowed);
}
