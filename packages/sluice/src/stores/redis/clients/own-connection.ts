/** What connections have in common that a RedisStore opens itself, whichever client is installed. */
import { onAbort } from "../../../core/abort.js";
import { startTimer } from "../../../core/clock.js";

/** A checked URL with credentials and TLS taken out of it. */
export interface ConnectTarget {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: object | undefined;
  readonly cluster: boolean;
}

export interface OwnConnection {
  readonly client: object;
  close(): Promise<void>;
}

/** A client's package, and how to open a connection with it. */
export interface ConnectablePackage {
  readonly name: string;
  /** Rejects, and leaves nothing open, where that fails or `closed` fires meanwhile. */
  open(module: unknown, target: ConnectTarget, closed: AbortSignal): Promise<OwnConnection>;
}

export const CONNECT_TIMEOUT_MS = 5000;
/** A connection on which a call waits so long without an answer is replaced. */
export const SILENCE_MS = 5000;

const FIRST_RECONNECT_MS = 50;
const LONGEST_RECONNECT_MS = 2000;

/** The wait before attempt number `attempt` to connect again; each is twice as long. */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(FIRST_RECONNECT_MS * 2 ** attempt, LONGEST_RECONNECT_MS);
}

/** Rejects when `work` has not settled in time, as with a server that accepts but never answers, or `closed` fires. */
export async function withinTime(work: Promise<unknown>, closed: AbortSignal): Promise<void> {
  let end = (): void => {};
  const tooLong = new Promise((_, reject: (error: Error) => void) => {
    const timer = startTimer(CONNECT_TIMEOUT_MS, () => {
      reject(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`));
    });
    const endWatch = onAbort(closed, () => {
      reject(closed.reason as Error);
    });
    end = () => {
      timer.cancel();
      endWatch();
    };
  });
  try {
    await Promise.race([work, tooLong]);
  } finally {
    end();
  }
}
