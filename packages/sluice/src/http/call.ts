/** What an adapter says about a request, and about how it ended. */

/** A request as every framework can describe it. */
export interface HttpCall {
  /** In upper case, as HTTP has it. */
  readonly method: string;
  /** The path of the request, as `pathOf` has it; undefined if the framework does not provide it. */
  readonly path?: string | undefined;
  /** The client's address, as far as the framework knows and trusts it. */
  readonly address: string | undefined;
  /** A field of the request by its name in lower case; several lines joined by ", ". */
  header(name: string): string | undefined;
  /** Which senders of a forwarded client address the framework trusts: everybody, nobody, or some proxies. */
  trust?(): "everybody" | "nobody" | "some";
  /** The framework's own setting for trusted proxies, in words; default: the option `address`. */
  readonly trustSetting?: string | undefined;
  /** Fires when the client disconnects: its request then leaves the line too. */
  gone?(): AbortSignal;
}

/** How a request ended. */
export interface HttpOutcome {
  /** Of the answer; of one that the client did not wait for, as far as it was known. */
  readonly status: number;
  /** Whether the client left before the answer was complete. */
  readonly aborted: boolean;
  /** What the handler threw, if the adapter sees it. */
  readonly error?: unknown;
}

const ENCODED = /%[2-7][0-9a-f]/gi;
const UNRESERVED = /[\w.~-]/;

/**
 * The path of a request's target, without its query. Characters that need no escape are not escaped, so that a path has
 * one form; `undefined` for what is no path.
 */
export function pathOf(target: string | undefined): string | undefined {
  if (target === undefined) return undefined;
  const [beforeQuery = ""] = target.split(/[?#]/, 1);
  const path = beforeQuery.startsWith("/") ? beforeQuery : pathOfUrl(beforeQuery);
  if (path?.includes("%") !== true) return path;
  return path.replace(ENCODED, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return UNRESERVED.test(character) ? character : escape;
  });
}

function pathOfUrl(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).pathname : undefined;
}
