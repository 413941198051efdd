/** Who has logged in: random names in cookies, of which only hashes are kept. */
import { randomBytes } from "node:crypto";
import { systemClock } from "sluice";
import { digestOfSecret, type Pass } from "./tokens-door.js";

const COOKIE = "sluice_session";
const SESSION_MS = 12 * 3600e3;
/** The oldest ends if there are more: it takes a token to begin one. */
const MOST_SESSIONS = 1000;
const NAME_BYTES = 32;

interface Session {
  readonly pass: Pass;
  readonly untilMs: number;
}

export class Sessions {
  /** By the hash of the name, the oldest first. */
  readonly #all = new Map<string, Session>();
  readonly #nowMs: () => number;

  /** `nowMs`: ms since the epoch. */
  constructor(nowMs = (): number => systemClock.nowUs() / 1e3) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The field that gives a browser its session. */
  begin(pass: Pass, isSecure: boolean): string {
    const nowMs = this.#nowMs();
    for (const [name, { untilMs }] of this.#all) if (untilMs <= nowMs) this.#all.delete(name);
    const [oldest] = this.#all.keys();
    if (this.#all.size >= MOST_SESSIONS && oldest !== undefined) this.#all.delete(oldest);
    const name = randomBytes(NAME_BYTES).toString("base64url");
    this.#all.set(hashOf(name), { pass, untilMs: nowMs + SESSION_MS });
    return cookieField(name, SESSION_MS / 1000, isSecure);
  }

  /** Who asks; undefined if there is no session, or it is over, or its token is. */
  passOf(request: Request): Pass | undefined {
    const name = cookieIn(request);
    if (name === undefined) return undefined;
    const hash = hashOf(name);
    const session = this.#all.get(hash);
    if (session === undefined) return undefined;
    if (session.untilMs > this.#nowMs() && session.pass.access() !== undefined) return session.pass;
    this.#all.delete(hash);
    return undefined;
  }

  /** The field that takes it from the browser. */
  end(request: Request, isSecure: boolean): string {
    const name = cookieIn(request);
    if (name !== undefined) this.#all.delete(hashOf(name));
    return cookieField("", 0, isSecure);
  }

  clear(): void {
    this.#all.clear();
  }
}

function hashOf(name: string): string {
  return digestOfSecret(name).toString("base64url");
}

/** Without a path: browsers send it to the addresses beside that of the login, wherever the page is mounted. */
function cookieField(value: string, seconds: number, isSecure: boolean): string {
  const secure = isSecure ? "; Secure" : "";
  return `${COOKIE}=${value}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function cookieIn(request: Request): string | undefined {
  const field = request.headers.get("cookie") ?? "";
  const found = new RegExp(`(?:^|;) *${COOKIE}=([\\w-]{43})(?:;|$)`).exec(field);
  return found?.[1];
}
