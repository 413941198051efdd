/** What connections have in common that a RedisStore opens itself, whichever client is installed. */
import { withinTime } from "../within-time.js";

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
  /** Rejects, and leaves nothing open, if that fails or `closed` fires before it is done. */
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

/** Rejects when a connection is not there in time, or `closed` fires. */
export function connected(connecting: Promise<unknown>, closed: AbortSignal): Promise<void> {
  return withinTime(connecting, { ms: CONNECT_TIMEOUT_MS, closed, keepsAlive: true });
}
