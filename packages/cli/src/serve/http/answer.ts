/** What a route answers, and how decisions are written into it. */
import type { Fields } from "sluice/headers";
import { DENIAL_KINDS, type DenialKind, PROBLEM_TYPE } from "sluice/http";
import { type RulesDecision, rulesFields } from "sluice/policies";
import { decisionMembers } from "./decision-json.js";

/** An answer that is ready to be sent. */
export interface Answer {
  readonly status: number;
  /** "" if there is no body. */
  readonly type: string;
  readonly fields: Fields;
  readonly body: string | Uint8Array;
}

export const JSON_TYPE = "application/json";
const NONE: Fields = Object.freeze([]);

/** A value as JSON. Infinity is null there, which reads as "never" or "without a limit". */
export function json(value: unknown, status = 200, fields: Fields = NONE): Answer {
  return { status, type: JSON_TYPE, fields, body: JSON.stringify(value) };
}

/** A decision: 200, or the status of its denial with the same members beside those of problem details. */
export function decided(decision: RulesDecision, isDeniedOk = false): Answer {
  const fields = rulesFields(decision);
  const members = decisionMembers(decision);
  if (decision.allowed || isDeniedOk) {
    return { status: 200, type: JSON_TYPE, fields, body: `{${members}}` };
  }
  const problem = denialProblem(decision);
  const body = `${JSON.stringify(problem).slice(0, -1)},${members}}`;
  return { status: problem.status, type: PROBLEM_TYPE, fields, body };
}

interface DenialProblem extends DenialKind {
  readonly "violated-policies": readonly string[];
}

/** What a denial says to the limited client: nothing of keys or numbers. */
export function denialProblem({ reason, rules }: RulesDecision): DenialProblem {
  const { status, type, title } = DENIAL_KINDS[reason === "ok" ? "quota" : reason];
  const violated = rules.flatMap(({ rule, mode, decision }) =>
    mode === "enforce" && !decision.allowed ? [rule] : [],
  );
  return { type, title, status, "violated-policies": violated };
}
