/** The dashboard as one handler of requests: the page, its data, and what it does. */
import { report, type Reporter } from "sluice/report";
import { Actions } from "./actions.js";
import { responseOf, emptyAnswer, jsonAnswer, problemAnswer, Refusal } from "./answers.js";
import { ChangeList } from "./changes.js";
import { Documents } from "./documents.js";
import { type Asked, checkSameSite, Guard } from "./guard.js";
import { KeyChanges } from "./key-changes.js";
import { KeyLookUp } from "./look-up.js";
import { checkDashboardOptions, type DashboardOptions } from "./options.js";
import { CSP, PAGE } from "./page.generated.js";
import { KeyPermits, type LentSemaphores } from "./permits.js";
import { jsonOf, neededTextIn } from "./read-body.js";
import { RememberedAttempts } from "./remembered.js";
import { ROUTES } from "./routes.js";
import { Sampler } from "./sampler.js";
import { countedOf, SharedState } from "./state.js";
import { StoreWatch } from "./store-watch.js";
import { type Door, doorOf } from "./tokens-door.js";
import { ChangeTrials } from "./try-change.js";

/** Answers requests, under whatever path it is mounted. */
export interface Dashboard extends AsyncDisposable {
  /** `from.address` is the client's address, by which wrong tokens are counted; a server knows it. */
  (request: Request, from?: RequestOrigin): Promise<Response>;
  /** Ends its timers, its report and its sessions. Call it before the store is closed. Never rejects. */
  close(): Promise<void>;
}

/** The origin of a request. */
export interface RequestOrigin {
  /** The client's address, as text; default: not known. */
  readonly address?: string | undefined;
}

const DEFAULT_ATTEMPTS = 50_000;
const SHORT_BODY = 4096;

/** With the caller's own door instead of the tokens in the options, and semaphores that it makes as they are asked for. */
export function openDashboard(
  options: DashboardOptions,
  door = doorOf(options.token),
  lent?: () => LentSemaphores | undefined,
): Dashboard {
  const board = new Board(checkDashboardOptions(options, door !== undefined), door, lent);
  const answer = (request: Request, from: RequestOrigin = {}): Promise<Response> =>
    board.answer({ request, address: from.address });
  const close = (): Promise<void> => board.close();
  return Object.assign(answer, { close, [Symbol.asyncDispose]: close });
}

class Board {
  readonly #guard: Guard;
  readonly #sampler: Sampler;
  readonly #stores: readonly StoreWatch[];
  readonly #changes: ChangeList;
  readonly #documents: Documents;
  readonly #remembered: RememberedAttempts;
  readonly #reporter: Reporter | undefined;
  readonly #state: SharedState;
  readonly #actions: Actions;
  readonly #failed: (error: unknown) => void;
  #closed: Promise<void> | undefined;
  #isFirst = true;

  constructor(
    options: DashboardOptions,
    door: Door | undefined,
    lent: (() => LentSemaphores | undefined) | undefined,
  ) {
    const { policies, store = policies.store, report: name = "sluice", semaphores } = options;
    this.#failed = failing(options.onError);
    this.#guard = new Guard(options.auth, door, options.secure);
    const counted = countedOf(options);
    this.#reporter =
      options.reports === false
        ? undefined
        : report({ store, name, limiters: counted, semaphores });
    const touch = (): void => {
      this.#state.touch();
    };
    this.#sampler = new Sampler({
      store,
      name,
      reporter: this.#reporter,
      onLook: () => {
        for (const each of this.#stores) each.look();
        touch();
      },
    });
    const nowMs = (): number => this.#sampler.nowMs();
    const answersNow = (): string => policies.document.defaults?.onStoreFailure ?? "local";
    const watched = [...new Set([policies.store, store])];
    this.#stores = watched.map((each) => new StoreWatch(each, nowMs, answersNow));
    this.#changes = new ChangeList(policies, touch);
    this.#documents = new Documents(policies, nowMs);
    const { attempts: most = DEFAULT_ATTEMPTS } = options;
    this.#remembered = new RememberedAttempts(most, counted);
    const permits = new KeyPermits(semaphores, lent);
    this.#state = new SharedState({
      options,
      store,
      sampler: this.#sampler,
      stores: this.#stores,
      changes: this.#changes,
      isKept: (version) => this.#documents.isKept(version),
      permits,
      attempts: () => this.#attempts(),
    });
    const looks = new KeyLookUp(options, this.#remembered);
    this.#actions = new Actions({
      options,
      documents: this.#documents,
      changes: this.#changes,
      looks,
      permits,
      keys: new KeyChanges(policies, this.#documents, looks),
      trials: new ChangeTrials(this.#remembered, nowMs),
      nowMs,
      failed: this.#failed,
    });
  }

  async answer(asked: Asked): Promise<Response> {
    try {
      return await this.#answer(asked);
    } catch (error) {
      return problemAnswer(error, this.#failed);
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#sampler.close();
    for (const each of this.#stores) each.close();
    this.#changes.close();
    this.#documents.close();
    this.#remembered.close();
    await this.#guard.close();
    await this.#reporter?.end();
  }

  async #answer(asked: Asked): Promise<Response> {
    const { request } = asked;
    const { method } = request;
    const { pathname, searchParams } = new URL(request.url);
    const name = /\/api\/([a-z]+)$/.exec(pathname)?.[1];
    if (name === undefined) return pageAnswer(method, pathname);
    const wanted = name === "login" || name === "logout" ? "POST" : name === "state" ? "GET" : "";
    const route = ROUTES.get(name);
    const allowed = route?.method ?? wanted;
    if (allowed === "") throw new Refusal(404, "There is no such address", "the page asks no such");
    if (method !== allowed) {
      throw new Refusal(405, "The address does not take the method", `it takes ${allowed}`, {
        fields: { Allow: allowed },
      });
    }
    if (method === "POST") checkSameSite(request);
    if (name === "login") return this.#logIn(asked);
    if (name === "logout") return emptyAnswer({ "Set-Cookie": this.#guard.logOut(asked) });
    if (route === undefined) return this.#stateAnswer(asked, sinceOf(searchParams.get("since")));
    const visitor = await this.#guard.visitorOf(asked, route.access);
    const body = route.method === "POST" ? await jsonOf(request, route.most) : {};
    const said = await route.answer(this.#actions, body, visitor);
    if (route.access === "admin") this.#state.touch();
    return said === undefined ? emptyAnswer() : jsonAnswer(said);
  }

  async #logIn(asked: Asked): Promise<Response> {
    const token = neededTextIn(await jsonOf(asked.request, SHORT_BODY), "token", SHORT_BODY);
    return emptyAnswer({ "Set-Cookie": this.#guard.logIn(asked, token) });
  }

  async #stateAnswer(asked: Asked, since: number | undefined): Promise<Response> {
    const visitor = await this.#guard.visitorOf(asked, "read");
    this.#remembered.wanted();
    await this.#sampler.wanted();
    if (this.#isFirst) {
      this.#isFirst = false;
      // Not waited for: a store that is away must not keep the page.
      void this.#readPublished();
    }
    const tag = this.#state.tag(visitor, since);
    if (asked.request.headers.get("if-none-match") === tag) {
      return responseOf(null, { status: 304, fields: { ETag: tag } });
    }
    const text = this.#state.text(visitor, since);
    return responseOf(text, { type: "application/json", fields: { ETag: tag } });
  }

  async #readPublished(): Promise<void> {
    if (!(await this.#changes.read())) this.#isFirst = true;
  }

  #attempts(): { count: number; fromMs: number | undefined; isWhole: boolean } {
    const { count = 0, fromUs, isWhole = true } = this.#remembered.recent ?? {};
    return { count, fromMs: fromUs === undefined ? undefined : Math.floor(fromUs / 1000), isWhole };
  }
}

function failing(onError: DashboardOptions["onError"]): (error: unknown) => void {
  const tell = async (error: unknown): Promise<void> => {
    try {
      await onError?.(error);
    } catch {
      // A hook that throws must not break what it is called about.
    }
  };
  return (error) => {
    void tell(error);
  };
}

/** Its addresses are relative, so its own must end with a slash, if the whole path is seen. */
function pageAnswer(method: string, pathname: string): Response {
  if (method !== "GET" && method !== "HEAD") {
    throw new Refusal(405, "The address does not take the method", "it takes GET", {
      fields: { Allow: "GET, HEAD" },
    });
  }
  if (/\/api(?:\/|$)/.test(pathname)) {
    throw new Refusal(404, "There is no such address", "the page asks no such");
  }
  if (!pathname.endsWith("/")) {
    const last = pathname.slice(pathname.lastIndexOf("/") + 1);
    return responseOf(null, { status: 308, fields: { Location: `./${last}/` } });
  }
  const body = method === "HEAD" ? null : PAGE;
  return responseOf(body, { type: "text/html; charset=utf-8", policy: CSP });
}

function sinceOf(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
