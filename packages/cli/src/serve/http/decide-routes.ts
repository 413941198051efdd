/** The routes that ask rules. What each takes and answers is said in openapi.ts, which the tests hold against it. */
import {
  cancelReserved,
  consumeRulesNow,
  consumeRulesUpTo,
  penalizeRules,
  type PolicySet,
  reserveRules,
  rulesFields,
  type RulesRequest,
} from "sluice/policies";
import type { Refund } from "sluice";
import type { Scope } from "../tokens.js";
import { type Answer, decided, json, JSON_TYPE } from "./answer.js";
import { askedOf, invalid, onlyFields } from "./asked.js";
import { decisionsJson } from "./decision-json.js";
import { HttpProblem } from "./problem.js";
import type { Call, Route } from "./route.js";

type Json = Readonly<Record<string, unknown>>;
type Answering = (body: Json, call: Call) => Answer | Promise<Answer>;

/** Requests of a batch. */
const MOST_REQUESTS = 1000;

const AMOUNT: ReadonlySet<string> = new Set(["amount", "idempotencyKey"]);
const SETTLED: ReadonlySet<string> = new Set(["reserved", "actual", "idempotencyKey"]);
const WAITED: ReadonlySet<string> = new Set(["maxWait"]);

/**
 * Whether the caller takes a denial for an answer like others: `?denied=200`.
 *
 * @throws HttpProblem for any other query
 */
function isDeniedOk({ query }: Call): boolean {
  if (query === "") return false;
  if (query === "denied=200") return true;
  throw invalid("the only query here is denied=200");
}

export function decideRoutes(rules: PolicySet): readonly Route[] {
  const decide: readonly Scope[] = ["decide"];
  const read: readonly Scope[] = ["read", "decide"];
  const post = (path: string, scopes: readonly Scope[], answer: Answering): Route => {
    const methods = ["POST"] as const;
    return {
      path,
      methods,
      scopes,
      takes: "json",
      answer: (call) => answer(call.body as Json, call),
    };
  };
  return [
    post("/v1/consume", decide, (body, call) => {
      const isOk = isDeniedOk(call);
      const answer = consumeRulesNow(rules, askedOf(body, rules));
      if (!(answer instanceof Promise)) return decided(answer, isOk);
      return answer.then((decision) => decided(decision, isOk));
    }),
    post("/v1/batch", decide, (body) => batch(body, rules)),
    post("/v1/consume-up-to", decide, async (body, call) => {
      const isOk = isDeniedOk(call);
      const asked = askedOf(body, rules) as RulesRequest & { cost: number };
      return decided(await consumeRulesUpTo(rules, asked), isOk);
    }),
    post("/v1/peek", read, async (body) => decided(await rules.peek(askedOf(body, rules)), true)),
    post("/v1/explain", read, async (body) => json(await rules.explain(askedOf(body, rules)))),
    post("/v1/penalize", decide, async (body) =>
      decided(await penalizeRules(rules, withAmount(body, rules)), true),
    ),
    post("/v1/refund", decide, async (body, call) =>
      refunded(await rules.giveBack({ ...withAmount(body, rules), nonce: nonceOf(body, call) })),
    ),
    post("/v1/settle", decide, (body, call) => settle(body, rules, nonceOf(body, call))),
    post("/v1/reserve", decide, (body, call) => reserve(body, rules, isDeniedOk(call))),
    post("/v1/cancel", decide, async (body) => {
      onlyFields(body, (name) => name === "ticket");
      return json({ cancelled: await cancelReserved(rules, body["ticket"] as string) });
    }),
  ];
}

/** Each request for itself, or all or nothing. */
async function batch(body: Json, rules: PolicySet): Promise<Answer> {
  onlyFields(body, (name) => name === "requests" || name === "atomic");
  const { requests, atomic } = body;
  if (!Array.isArray(requests) || requests.length === 0 || requests.length > MOST_REQUESTS) {
    throw invalid(`requests must be a list of 1 to ${MOST_REQUESTS}`);
  }
  const asked = requests.map((each: unknown, i) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) {
      throw invalid(`requests[${i}] must be an object`);
    }
    return askedInList(each as Json, rules, i);
  });
  // Undefined is none; anything that is no boolean the set refuses.
  const many = await rules.consumeMany(asked, { atomic: atomic as boolean });
  return { status: 200, type: JSON_TYPE, fields: [], body: decisionsJson(many) };
}

/** @throws HttpProblem that says which of the list it was */
function askedInList(body: Json, rules: PolicySet, i: number): RulesRequest {
  try {
    return askedOf(body, rules);
  } catch (error) {
    throw error instanceof HttpProblem ? invalid(`requests[${i}]: ${error.message}`) : error;
  }
}

/** What refund and penalize are asked: `amount` replaces the cost. */
function withAmount({ amount, ...body }: Json, rules: PolicySet): RulesRequest {
  if (body["cost"] !== undefined) throw invalid("say amount here, not cost");
  if (amount === undefined) throw invalid("say the amount");
  if (!isUnits(amount)) throw invalid(`amount must be ${UNITS}`);
  return askedOf({ ...body, cost: amount }, rules, AMOUNT);
}

/** The engine's nonce: by the field of the body, or by the header field of that name. */
function nonceOf({ idempotencyKey }: Json, { request }: Call): string | undefined {
  const field = request.headers["idempotency-key"];
  const key = idempotencyKey ?? field;
  if (key === undefined) return undefined;
  if (field !== undefined && field !== key) {
    throw invalid("idempotencyKey and the field Idempotency-Key differ");
  }
  if (typeof key === "string" && /^[\w.-]{1,64}$/.test(key)) return key;
  throw invalid("idempotencyKey must be 1 to 64 characters of A-Z a-z 0-9 . _ -");
}

/** What came back of each rule. */
function refunded(refunds: readonly Refund[]): Answer {
  const back = refunds.map((refund) => refund.refunded);
  return json({ refunded: back.length === 0 ? 0 : Math.min(...back), rules: refunds });
}

/** Gives the rest back, or takes what is missing. */
async function settle(
  { reserved, actual, ...body }: Json,
  rules: PolicySet,
  nonce: string | undefined,
): Promise<Answer> {
  if (!isUnits(reserved) || !isUnits(actual)) {
    throw invalid(`reserved and actual must each be ${UNITS}`);
  }
  if (body["cost"] !== undefined) throw invalid("say reserved and actual here, not cost");
  // In whole thousandths, as all units are: 0.3 - 0.1 is not 0.2.
  const spare = Math.round((reserved - actual) * 1e3) / 1e3;
  const asked = askedOf({ ...body, cost: Math.abs(spare) }, rules, SETTLED);
  if (spare >= 0) return refunded(await rules.giveBack({ ...asked, nonce }));
  if (nonce !== undefined) {
    throw invalid(
      "an idempotencyKey works only when units are given back; here more was used than reserved",
    );
  }
  const { rules: decisions } = await penalizeRules(rules, asked);
  return json({
    refunded: 0,
    rules: decisions.map(({ decision }) => ({ ...decision, refunded: 0 })),
  });
}

const UNITS = "a number of units from 0 to 1,000,000,000 in whole thousandths";

function isUnits(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1e9 && isThousandths(value);
}

function isThousandths(value: number): boolean {
  return Math.abs(value * 1e3 - Math.round(value * 1e3)) < 1e-6;
}

async function reserve(
  { maxWait, ...body }: Json,
  rules: PolicySet,
  isDenialOk: boolean,
): Promise<Answer> {
  const asked = askedOf(body, rules, WAITED);
  const start = await reserveRules(rules, asked, { maxWait: maxWait as string | undefined });
  if (start.allowed) {
    const { decision, ...promised } = start;
    return json({ ...promised, decision }, 200, rulesFields(decision));
  }
  return decided(start.decision, isDenialOk);
}
