/** One field of a request's head. */
import type { IncomingMessage } from "node:http";

/**
 * The value of a field, the first if it is repeated. `name` is in lower case. Node's own `headers` makes an object of all
 * fields, of which most requests need three.
 */
export function fieldOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const each = rawHeaders[i] as string;
    if (each.length === name.length && each.toLowerCase() === name) return rawHeaders[i + 1];
  }
  return undefined;
}
