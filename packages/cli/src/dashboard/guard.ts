/** Who may do what: by the app's own login or by a session, and nothing that another site sends. */
import { MemoryStore, RateLimiter, slidingLog } from "sluice";
import { addressKey } from "sluice/http";
import { Refusal } from "./answers.js";
import type { DashboardOptions } from "./options.js";
import { Sessions } from "./sessions.js";
import type { Door, Pass } from "./tokens-door.js";
import type { Access, Visitor } from "./wire.js";

/** A request, and its origin. */
export interface Asked {
  readonly request: Request;
  /** The client's address; undefined if it is unknown. */
  readonly address: string | undefined;
}

const MOST_TOKEN = 512;
const LONGEST_WHO = 200;
/** Wrong tokens of one address within a minute. */
const WRONG_A_MINUTE = 10;

type Auth = NonNullable<DashboardOptions["auth"]>;

export class Guard {
  readonly #auth: Auth | undefined;
  readonly #door: Door | undefined;
  readonly #isSecure: boolean | undefined;
  readonly #sessions = new Sessions();
  readonly #wrong = new RateLimiter<MemoryStore>({
    policy: slidingLog({ name: "wrong-tokens", limit: WRONG_A_MINUTE, window: "1m" }),
    store: new MemoryStore({ maxKeys: 10_000 }),
    namespace: "dashboard",
  });

  constructor(auth: Auth | undefined, door: Door | undefined, isSecure: boolean | undefined) {
    this.#auth = auth;
    this.#door = door;
    this.#isSecure = isSecure;
  }

  /** Who asks. @throws Refusal if the visitor has no access, or not enough. */
  async visitorOf(asked: Asked, needed: Access): Promise<Visitor> {
    const visitor = await this.#visitor(asked);
    if (visitor === undefined) {
      const canLogIn = this.#door !== undefined;
      throw new Refusal(
        401,
        "You are not logged in",
        canLogIn ? "log in with a token" : "the app does not let you see this",
        { more: { canLogIn } },
      );
    }
    if (needed === "admin" && visitor.access !== "admin") {
      throw new Refusal(403, "You may only look", "changes need the admin right");
    }
    return visitor;
  }

  /** Begins a session: its cookie. @throws Refusal */
  logIn(asked: Asked, token: string): string {
    const pass = this.#admitted(asked, token);
    return this.#sessions.begin(pass, this.#isOverTls(asked.request));
  }

  logOut({ request }: Asked): string {
    return this.#sessions.end(request, this.#isOverTls(request));
  }

  async close(): Promise<void> {
    this.#sessions.clear();
    await this.#wrong.close();
    await this.#wrong.store.close();
  }

  async #visitor(asked: Asked): Promise<Visitor | undefined> {
    const byApp = await this.#byApp(asked.request);
    if (byApp !== undefined) return byApp;
    if (this.#door === undefined) return undefined;
    const token = /^Bearer +(\S+) *$/i.exec(asked.request.headers.get("authorization") ?? "")?.[1];
    const session = token === undefined ? this.#sessions.passOf(asked.request) : undefined;
    const pass = token === undefined ? session : this.#admitted(asked, token);
    const access = pass?.access();
    if (pass === undefined || access === undefined) return undefined;
    return { access, who: pass.who, canLogOut: session !== undefined };
  }

  async #byApp(request: Request): Promise<Visitor | undefined> {
    if (this.#auth === undefined) return undefined;
    // The app may read the body, which is the route's.
    const said = await this.#auth(new Request(request.url, { headers: request.headers }));
    const { access, who = "" } = typeof said === "string" ? { access: said } : (said ?? {});
    if (access !== "read" && access !== "admin") return undefined;
    return { access, who: who.slice(0, LONGEST_WHO), canLogOut: false };
  }

  /**
   * Whose token it is. An address with too many wrong ones is not looked at for a minute, whatever it sends; if addresses
   * are unknown, right tokens pass all the same, because others must not lock their holders out.
   *
   * @throws Refusal
   */
  #admitted({ address }: Asked, token: string): Pass {
    const place = address === undefined ? undefined : placeOf(address);
    const budget = this.#wrong.consumeSync(place ?? "nowhere");
    const tooMany = new Refusal(429, "Too many wrong tokens", "wait a minute, and try again", {
      fields: { "Retry-After": String(Math.max(1, Math.ceil(budget.retryAfterMs / 1000))) },
    });
    if (place !== undefined && !budget.allowed) throw tooMany;
    const pass = token.length <= MOST_TOKEN ? this.#door?.enter(token) : undefined;
    if (pass?.access() === undefined) {
      if (!budget.allowed) throw tooMany;
      throw new Refusal(
        401,
        "The token is wrong",
        "it may have been changed; an address with a token in it works once",
        {
          more: { canLogIn: this.#door !== undefined },
        },
      );
    }
    if (budget.allowed) void this.#wrong.refund(place ?? "nowhere", 1);
    return pass;
  }

  #isOverTls({ url, headers }: Request): boolean {
    if (this.#isSecure !== undefined) return this.#isSecure;
    return url.startsWith("https:") || headers.get("origin")?.startsWith("https:") === true;
  }
}

/** Of IPv6 a network, of which a client has many addresses. */
function placeOf(address: string): string {
  try {
    return addressKey(address);
  } catch {
    return address.slice(0, LONGEST_WHO);
  }
}

/**
 * Nothing that another site makes a browser send changes anything. Programs, which say neither where they are from nor
 * which site they are at, need their own token in Authorization, which no browser adds unasked.
 *
 * @throws Refusal
 */
export function checkSameSite({ headers, url }: Request): void {
  const site = headers.get("sec-fetch-site");
  const origin = headers.get("origin");
  const host = headers.get("host") ?? new URL(url).host;
  const isOwn =
    site === null
      ? origin === null
        ? headers.has("authorization")
        : hostOf(origin) === host.toLowerCase()
      : site === "same-origin";
  if (isOwn) return;
  throw new Refusal(403, "Another site asked", "changes are made on the page itself");
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
