/** Ends a command that runs until Ctrl-C or SIGTERM. */
import type { Io } from "../terminal/terminal.js";

export interface Ending {
  /** Fires at the end. */
  readonly signal: AbortSignal;
  /** Ends it from within. */
  readonly end: () => void;
  /** Leaves SIGTERM to others again. */
  readonly release: () => void;
}

export function endingOf(io: Io): Ending {
  const ending = new AbortController();
  const end = (): void => {
    ending.abort();
  };
  io.interruption().addEventListener("abort", end, { once: true });
  process.once("SIGTERM", end);
  return { signal: ending.signal, end, release: () => void process.off("SIGTERM", end) };
}
