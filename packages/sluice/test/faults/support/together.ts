/** Runs `action` once when all of so many have asked for it, and tells each when it is done. */
export function together(
  count: number,
  action: () => Promise<unknown> | void,
): () => Promise<void> {
  let missing = count;
  let start = (): void => {};
  const done = new Promise<void>((resolve) => {
    start = resolve;
  }).then(async () => {
    await action();
  });
  return () => {
    missing -= 1;
    if (missing === 0) start();
    return done;
  };
}
