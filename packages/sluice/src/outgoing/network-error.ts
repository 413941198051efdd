/**
 * Which errors are failures of the network. They come from other realms (Jest's), other packages and other platforms,
 * so no class tells them apart; and a TypeError may as well be a mistake of the caller's, which no retry mends.
 */

/** What Node, undici and Bun call a failure of the network. */
const NETWORK_CODES: ReadonlySet<string> = new Set([
  "EADDRNOTAVAIL",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETRESET",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_SOCKET",
  "ConnectionClosed",
  "ConnectionRefused",
  "FailedToOpenSocket",
  "Timeout",
]);

/** How those begin that have no code, on any platform: undici, Chrome, Firefox, Safari, React Native, Deno, Workers. */
const NETWORK_MESSAGES = [
  "a network error",
  "client error (connect)",
  "connection closed",
  "connection refused",
  "connection reset",
  "error sending request",
  "failed to fetch",
  "fetch failed",
  "load failed",
  "network connection lost",
  "network error",
  "network request failed",
  "networkerror when attempting",
  "other side closed",
  "socket hang up",
  "terminated",
  "the internet connection",
  "the network connection",
];

/** Errors wrap each other a few levels deep; what goes deeper may go round in circles. */
const MAX_DEPTH = 8;

/**
 * Whether the request, or its answer, got lost on its way. The innermost error that says why decides: undici's "fetch
 * failed" wraps a mistake, such as a port that is not allowed, in the same way.
 */
export function isNetworkError(error: unknown, depth = 0): boolean {
  if (typeof error !== "object" || error === null || depth > MAX_DEPTH) return false;
  const { code, cause, errors, message } = error as Readonly<Record<string, unknown>>;
  if (typeof code === "string") return NETWORK_CODES.has(code);
  if (typeof cause === "object" && cause !== null) return isNetworkError(cause, depth + 1);
  if (Array.isArray(errors)) return errors.some((each) => isNetworkError(each, depth + 1));
  const text = typeof message === "string" ? message.trim().toLowerCase() : "";
  return NETWORK_MESSAGES.some((beginning) => text.startsWith(beginning));
}
