/** What several do at once to one thing that all of them share. */

/** Waits until all others have come as far, or have ended; then one of them does it, for all. */
type Meet = (action: () => Promise<unknown> | void) => Promise<void>;

interface Meeting {
  readonly open: () => void;
  readonly isOver: Promise<void>;
}

/**
 * Runs `work` for each name at once, and ends when all of them have: a failure leaves nothing behind that runs on, and
 * lets the others meet without it. Then the first failure is thrown.
 */
export async function sideBySide<Name>(
  names: readonly Name[],
  work: (name: Name, meet: Meet) => Promise<unknown>,
): Promise<void> {
  /** How often each of them has met; Infinity once it has ended. */
  const met = names.map(() => 0);
  const meetings: Meeting[] = [];
  const openWhereAllAre = (): void => {
    for (const [i, { open }] of meetings.entries()) if (Math.min(...met) > i) open();
  };
  const ends = await Promise.allSettled(
    names.map(async (name, own) => {
      try {
        await work(name, (action) => {
          const at = met[own] as number;
          meetings[at] ??= meetingFor(action);
          met[own] = at + 1;
          openWhereAllAre();
          return meetings[at].isOver;
        });
      } finally {
        met[own] = Infinity;
        openWhereAllAre();
      }
    }),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

function meetingFor(action: () => Promise<unknown> | void): Meeting {
  let open = (): void => {};
  const isOver = new Promise<void>((resolve) => {
    open = resolve;
  }).then(async () => {
    await action();
  });
  return { open, isOver };
}
