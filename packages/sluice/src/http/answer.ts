/** How adapters put what the gate says into an answer. */
import type { Fields } from "../headers/field-writers.js";
import type { Denial } from "./denial.js";

/** The fields of an answer that is not sent yet. */
export interface AnswerFields {
  /** undefined or null if there is none. */
  get(name: string): string | null | undefined;
  /** Sets a field of the answer. */
  set(name: string, value: string): void;
}

/** What others may have said before: theirs stays, ours goes behind it. */
export function isList(name: string): boolean {
  return name === "RateLimit" || name === "RateLimit-Policy";
}

/** The media type of problem bodies. */
export const PROBLEM_TYPE = "application/problem+json";

/**
 * Writes the fields of a pass. Scripts of other origins may read them if they may read the answer.
 *
 * @throws nothing
 * @example
 * import { writeFields } from "sluice/http";
 * const headers = new Headers();
 * writeFields([["Retry-After", "3"]], headers);
 * console.log(headers.get("Retry-After")); // 3
 */
export function writeFields(fields: Fields, answer: AnswerFields): void {
  if (fields.length === 0) return;
  for (const [name, value] of fields) {
    const before = isList(name) ? answer.get(name) : undefined;
    answer.set(name, before ? `${before}, ${value}` : value);
  }
  exposeFields(fields, answer);
}

/** By default a browser shows scripts only a few fields, and these are not among them. */
export function exposeFields(fields: Fields, answer: AnswerFields): void {
  if (!answer.get("Access-Control-Allow-Origin")) return;
  const exposed = answer.get("Access-Control-Expose-Headers") ?? "";
  if (exposed.trim() === "*") return;
  const known = new Set(exposed.toLowerCase().split(/\s*,\s*/));
  const names = fields.map(([name]) => name).filter((name) => name !== "Cache-Control");
  const added = names.filter((name) => !known.has(name.toLowerCase()));
  const list = exposed === "" ? added : [exposed, ...added];
  if (added.length > 0) answer.set("Access-Control-Expose-Headers", list.join(", "));
}

/**
 * The body of a denial.
 *
 * @throws nothing
 * @example
 * import { problemBody } from "sluice/http";
 * const problem = { type: "about:blank", title: "Too Many Requests", status: 429 };
 * console.log(problemBody({ problem } as Parameters<typeof problemBody>[0]).length > 40); // true
 */
export function problemBody({ problem }: Denial): string {
  return JSON.stringify(problem);
}
