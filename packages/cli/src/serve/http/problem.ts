/** What the service answers when it does not do what was asked: problem details (RFC 9457) with a reason a program can read. */
import { InvalidOptionError, SluiceError } from "sluice";
import { PROBLEM_TYPE } from "sluice/http";
import type { Field } from "sluice/headers";
import type { Answer } from "./answer.js";

/** Every reason, its status and its title. Documented in docs/service.md and in the OpenAPI document; never to change. */
export const PROBLEMS = {
  "bad-json": [400, "The body is not a JSON object"],
  "invalid-request": [400, "The request is not valid"],
  unauthorized: [401, "A bearer token is needed"],
  forbidden: [403, "The token does not have the scope"],
  "not-found": [404, "There is no such path"],
  "unknown-rule": [404, "There is no such rule"],
  "method-not-allowed": [405, "The path does not take the method"],
  "request-timeout": [408, "The request took too long to arrive"],
  "not-together": [409, "The keys lie in different slots of the Cluster"],
  "body-too-large": [413, "The body is too long"],
  "wrong-type": [415, "The body must be JSON"],
  "bad-request": [400, "The request is no HTTP"],
  "headers-too-large": [431, "The head is too long"],
  internal: [500, "The service failed"],
  "store-unavailable": [503, "The store does not answer"],
  "shutting-down": [503, "The service is shutting down"],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

export type ProblemReason = keyof typeof PROBLEMS;

/** To be thrown wherever a request cannot be answered as asked. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  readonly reason: ProblemReason;
  readonly fields: readonly Field[];

  /** `detail` is shown to the caller: it holds nothing but what the caller said. */
  constructor(reason: ProblemReason, detail = "", fields: readonly Field[] = []) {
    super(detail);
    this.reason = reason;
    this.fields = fields;
  }

  answer(): Answer {
    const [status, title] = PROBLEMS[this.reason];
    const { reason, message } = this;
    const type = `urn:sluice:problem:${reason}`;
    const body = { type, title, status, reason, ...(message !== "" && { detail: message }) };
    return { status, type: PROBLEM_TYPE, fields: this.fields, body: JSON.stringify(body) };
  }
}

const SOON: readonly Field[] = [["Retry-After", "1"]];

/** The problem that an error is; undefined if it is unforeseen. */
export function problemOf(error: unknown): HttpProblem | undefined {
  if (error instanceof HttpProblem) return error;
  if (!(error instanceof SluiceError)) return undefined;
  if (error instanceof InvalidOptionError) {
    return new HttpProblem(
      error.option === "rule" ? "unknown-rule" : "invalid-request",
      error.message,
    );
  }
  switch (error.code) {
    case "STORE_UNAVAILABLE":
    case "STORE_TIMEOUT":
    case "STORE_FULL":
      return new HttpProblem("store-unavailable", "", SOON);
    case "CROSS_SLOT":
      return new HttpProblem(
        "not-together",
        "give the requests one slot, or ask with atomic: false",
      );
    case "CLOSED":
      return new HttpProblem("shutting-down", "", SOON);
    default:
      return undefined;
  }
}
