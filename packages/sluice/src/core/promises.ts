/** What is still to come, and what failed before it could. */

/** Promises of other libraries and realms too. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { readonly then?: unknown }).then === "function"
  );
}

/** For functions that are not async, and yet never throw. */
export function rejected(reason: Error): Promise<never> {
  return Promise.reject(reason);
}
