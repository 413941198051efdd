/** How late a server answers, seen from outside of what is tested: that a machine does not run it is no fault of callers. */
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";

const EVERY_MS = 20;

export interface ServerWatch {
  /** Ends the watch: the longest time, in ms, that the server or this process took to get from one PING to the next. */
  end(): Promise<number>;
}

/** Begins to send PINGs, through a connection of its own. */
export async function watchServer(url: string): Promise<ServerWatch> {
  const client = new Redis(url, { maxRetriesPerRequest: null, lazyConnect: true });
  await client.connect();
  const over = new AbortController();
  let worstMs = 0;
  const watching = (async () => {
    while (!over.signal.aborted) {
      const beganMs = performance.now();
      await client.ping();
      await sleep(EVERY_MS);
      worstMs = Math.max(worstMs, performance.now() - beganMs - EVERY_MS);
    }
  })();
  return {
    end: async () => {
      over.abort();
      await watching;
      client.disconnect();
      return worstMs;
    },
  };
}
