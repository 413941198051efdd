/** Semaphores over HTTP: a permit is acquired for a client, which renews and releases it by its ticket, at any service. */
import { ClosedError, lendPermit, MaxWaitExceededError, releaseLent, renewLent } from "sluice";
import { keyId } from "sluice/audit";
import { PROBLEM_TYPE } from "sluice/http";
import type { ServiceLog } from "../log.js";
import type { Service } from "../service.js";
import { spanMs } from "../span.js";
import type { Scope } from "../tokens.js";
import { type Answer, json } from "./answer.js";
import { invalid, onlyFields } from "./asked.js";
import { whileConnected } from "./connected.js";
import { HttpProblem } from "./problem.js";
import type { Call, Route } from "./route.js";
import { Semaphores, type SemaphoreTerms } from "./semaphores.js";

type Json = Readonly<Record<string, unknown>>;

/** The longest that a request may wait for a permit, in ms: proxies give up on longer ones. */
const LONGEST_WAIT_MS = 60_000;
const MOST_CHARACTERS = 24_576;

const ACQUIRE: ReadonlySet<string> = new Set([
  "semaphore",
  "key",
  "limit",
  "weight",
  "leaseDuration",
  "maxWait",
  "slot",
]);
const ONE_KEY: ReadonlySet<string> = new Set(["semaphore", "key", "limit", "slot"]);

export function semaphoreRoutes(service: Service): readonly Route[] {
  const semaphores = new Semaphores(service);
  const post = (
    path: string,
    answer: (body: Json, call: Call) => Promise<Answer>,
    scopes: readonly Scope[] = ["decide"],
  ): Route => ({
    path,
    methods: ["POST"],
    scopes,
    takes: "json",
    answer: (call) => answer(call.body as Json, call),
  });
  return [
    post("/v1/semaphores/acquire", (body, call) => acquire(semaphores, body, call)),
    post("/v1/semaphores/renew", async (body) => {
      const { terms, lent } = ticketIn(body);
      const untilUs = await semaphores.use(terms, (semaphore) => renewLent(semaphore, lent));
      return json(untilUs === undefined ? { held: false } : { held: true, expiresAtUs: untilUs });
    }),
    post("/v1/semaphores/release", async (body) => {
      const { terms, lent } = ticketIn(body);
      const released = await semaphores.use(terms, (semaphore) => releaseLent(semaphore, lent));
      return json({ released });
    }),
    post("/v1/semaphores/list", (body) => list(semaphores, body), ["read", "decide"]),
    post("/v1/semaphores/reset", (body) => reset(semaphores, body, service.log), ["admin"]),
  ];
}

async function list(semaphores: Semaphores, body: Json): Promise<Answer> {
  const { terms, key, slot } = oneKeyIn(body);
  const { holders, ...usage } = await semaphores.watch(terms, (semaphore) =>
    semaphore.list(key, { slot }),
  );
  // JSON has no numbers as long as a token may be.
  const permits = holders.map((each) => ({ ...each, fencingToken: String(each.fencingToken) }));
  return json({ ...usage, holders: permits });
}

async function reset(semaphores: Semaphores, body: Json, log: ServiceLog): Promise<Answer> {
  const { terms, key, slot } = oneKeyIn(body);
  const ended = await semaphores.watch(terms, (semaphore) => semaphore.reset(key, { slot }));
  log.info("semaphore reset", { semaphore: terms.name, keyId: keyId(key), ended });
  return json({ ended });
}

/** One key of a semaphore, as far as a caller says. */
interface OneKey {
  readonly terms: Pick<SemaphoreTerms, "name" | "limit">;
  readonly key: string;
  readonly slot: string | undefined;
}

/** The semaphore checks the limit, the key and the slot itself. @throws HttpProblem */
function oneKeyIn(body: Json): OneKey {
  onlyFields(body, (name) => ONE_KEY.has(name));
  const { key, limit, slot } = body;
  return { terms: { name: nameIn(body), limit }, key, slot } as OneKey;
}

/** @throws HttpProblem */
function nameIn({ semaphore: name = "semaphore" }: Json): string {
  if (typeof name === "string") return name;
  throw invalid("semaphore must be a name");
}

async function acquire(semaphores: Semaphores, body: Json, { request }: Call): Promise<Answer> {
  onlyFields(body, (name) => ACQUIRE.has(name));
  const name = nameIn(body);
  const { key, limit, leaseDuration = "30s" } = body;
  const { weight, maxWait = 0, slot } = body as Record<string, never>;
  const terms = { name, limit, leaseDuration } as SemaphoreTerms;
  try {
    return await whileConnected(request, (gone) =>
      semaphores.use(terms, async (semaphore) => {
        const signal = AbortSignal.any([gone, semaphores.ending]);
        const options = { weight, slot, signal, maxWait: waitOf(maxWait) };
        const permit = await semaphore.acquire(key as string, options);
        // No client would know of the permit.
        if (gone.aborted) {
          await permit.release();
          throw new HttpProblem("request-timeout");
        }
        const { ticket: lent, fencingToken, ...lease } = await lendPermit(permit);
        const ticket = encode([name, limit, leaseDuration, lent]);
        return json({ held: true, ticket, fencingToken: String(fencingToken), ...lease });
      }),
    );
  } catch (error) {
    if (error instanceof MaxWaitExceededError) return busy();
    if (semaphores.ending.aborted || error instanceof ClosedError) {
      throw new HttpProblem("shutting-down");
    }
    throw error;
  }
}

/** It is not known when a permit will be free. */
function busy(): Answer {
  const problem = { type: "about:blank", title: "Too Many Requests", status: 429, held: false };
  return { status: 429, type: PROBLEM_TYPE, fields: [], body: JSON.stringify(problem) };
}

/** @throws HttpProblem */
function waitOf(maxWait: unknown): number {
  const ms = spanMs(maxWait);
  if (ms !== undefined && ms <= LONGEST_WAIT_MS) return ms;
  throw invalid('maxWait must be ms or a span such as "10s", of 0 to 60s');
}

interface OpenTicket {
  readonly terms: SemaphoreTerms;
  readonly lent: string;
}

/** @throws HttpProblem */
function ticketIn(body: Json): OpenTicket {
  onlyFields(body, (name) => name === "ticket");
  const { ticket } = body;
  if (typeof ticket === "string" && ticket.length <= MOST_CHARACTERS) {
    try {
      const text = Buffer.from(ticket, "base64url").toString("utf8");
      const parts = JSON.parse(text) as readonly unknown[];
      const [name, limit, leaseDuration, lent] = parts;
      if (parts.length === 4 && typeof name === "string" && typeof lent === "string") {
        return { terms: { name, limit, leaseDuration } as SemaphoreTerms, lent };
      }
    } catch {
      // Said below.
    }
  }
  throw invalid("ticket must be what acquire answered");
}

function encode(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}
