/** What the dashboard answers, and the fields that every answer has. */
import { ClosedError, InvalidOptionError, SluiceError } from "sluice";
import { InvalidPoliciesError, PolicyConflictError } from "sluice/policies";
import type { DashboardProblem } from "./wire.js";

/** Thrown if a request is refused; all of it is shown. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly title: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly more: Partial<DashboardProblem>;

  constructor(
    status: number,
    title: string,
    detail: string,
    {
      fields = {},
      more = {},
    }: {
      readonly fields?: Readonly<Record<string, string>>;
      readonly more?: Partial<DashboardProblem>;
    } = {},
  ) {
    super(detail);
    this.status = status;
    this.title = title;
    this.fields = fields;
    this.more = more;
  }
}

/** A request that says what cannot be. */
export function notValid(detail: string): Refusal {
  return new Refusal(400, "That is not valid", detail);
}

/** Answers are not cached, framed or sniffed, and other sites get no referrer. */
const COMMON: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'";

interface AnswerParts {
  readonly status?: number;
  readonly type?: string;
  readonly policy?: string;
  readonly fields?: Readonly<Record<string, string>>;
}

export function responseOf(body: string | null, parts: AnswerParts = {}): Response {
  const { status = 200, type, policy = NO_CONTENT_POLICY, fields = {} } = parts;
  const head: Record<string, string> = { ...COMMON, "Content-Security-Policy": policy };
  if (type !== undefined) head["Content-Type"] = type;
  return new Response(body, { status, headers: { ...head, ...fields } });
}

export function jsonAnswer(
  value: unknown,
  fields: Readonly<Record<string, string>> = {},
): Response {
  return responseOf(JSON.stringify(value), { type: "application/json", fields });
}

export function emptyAnswer(fields: Readonly<Record<string, string>> = {}): Response {
  return responseOf(null, { status: 204, fields });
}

/** The answer to what was thrown. `unforeseen` gets the errors that clients must not see. */
export function problemAnswer(error: unknown, unforeseen: (error: unknown) => void): Response {
  const refusal = refusalOf(error);
  if (refusal === undefined) unforeseen(error);
  const { status, title, message, fields, more } =
    refusal ?? new Refusal(500, "The dashboard failed", "The log of the process says why.");
  const problem: DashboardProblem = { status, title, detail: message, ...more };
  return responseOf(JSON.stringify(problem), { status, type: "application/problem+json", fields });
}

const MOST_PROBLEMS = 20;

function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof InvalidPoliciesError) {
    const problems = error.problems.slice(0, MOST_PROBLEMS).map(({ path, line, message }) => ({
      path,
      message,
      ...(line !== undefined && { line }),
    }));
    const { message } = error;
    return new Refusal(400, "The document is not valid", message, { more: { problems } });
  }
  if (error instanceof PolicyConflictError) {
    return new Refusal(
      409,
      "The document has changed meanwhile",
      `version ${error.version} is in force: load it, and make your change again`,
    );
  }
  if (error instanceof InvalidOptionError) return notValid(error.message);
  if (error instanceof ClosedError) {
    return new Refusal(503, "The process is shutting down", "ask again in a moment");
  }
  if (!(error instanceof SluiceError)) return undefined;
  if (error.code !== "STORE_UNAVAILABLE" && error.code !== "STORE_TIMEOUT") return undefined;
  return new Refusal(
    503,
    "The store does not answer",
    "it is not known whether anything changed: look again when the store is back",
  );
}
