/** Waits for an answer, and not for ever. */
import timers from "node:timers";

/** What `work` resolves to. Rejects with "no answer" if that takes longer; the wait keeps no process alive. */
export async function withinTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = timers.setTimeout(() => {
      reject(new Error("no answer"));
    }, ms);
    timer.unref();
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    timers.clearTimeout(timer);
  }
}
