/** Promises that a test looks at while they are pending. */

/** What a promise came to, without waiting for it. */
export function watch<T>(promise: Promise<T>): { settled: T | Error | undefined } {
  const watched: { settled: T | Error | undefined } = { settled: undefined };
  promise.then(
    (value) => (watched.settled = value),
    (error: unknown) => (watched.settled = error as Error),
  );
  return watched;
}

/** Lets what was resolved run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
