/** Fields of a pass, put into an answer that others have written in. */
import { expect, test } from "vitest";
import { enter, gateOf } from "../../test/support/gates.js";
import { RateLimiter, tokenBucket } from "../index.js";
import { type AnswerFields, type Denial, problemBody, writeFields } from "./index.js";

class Answer implements AnswerFields {
  readonly #fields: Map<string, string>;

  constructor(before: Record<string, string> = {}) {
    this.#fields = new Map(Object.entries(before));
  }

  get(name: string): string | undefined {
    return this.#fields.get(name);
  }

  set(name: string, value: string): void {
    this.#fields.set(name, value);
  }

  get all(): Record<string, string> {
    return Object.fromEntries(this.#fields);
  }
}

const ours = [
  ["RateLimit-Policy", '"a";q=1;w=1'],
  ["RateLimit", '"a";r=0;t=1'],
  ["Retry-After", "1"],
  ["Cache-Control", "no-store"],
] as const;
const written = (before: Record<string, string>): Record<string, string> => {
  const answer = new Answer(before);
  writeFields(ours, answer);
  return answer.all;
};

test("lists go behind what is there, all else takes its place", () => {
  expect(
    written({
      RateLimit: '"up";r=1',
      "RateLimit-Policy": '"up";q=9',
      "Retry-After": "9",
      "Cache-Control": "public",
    }),
  ).toEqual({
    "RateLimit-Policy": '"up";q=9, "a";q=1;w=1',
    RateLimit: '"up";r=1, "a";r=0;t=1',
    "Retry-After": "1",
    "Cache-Control": "no-store",
  });
});

test("nothing is written where there is nothing to say", () => {
  const answer = new Answer({ "Access-Control-Allow-Origin": "*" });
  writeFields([], answer);
  expect(answer.all).toEqual({ "Access-Control-Allow-Origin": "*" });
});

test.each([
  [undefined, "RateLimit-Policy, RateLimit, Retry-After"],
  ["", "RateLimit-Policy, RateLimit, Retry-After"],
  ["X-Id", "X-Id, RateLimit-Policy, RateLimit, Retry-After"],
  ["ratelimit , X-Id", "ratelimit , X-Id, RateLimit-Policy, Retry-After"],
  ["Retry-After, RateLimit, RateLimit-Policy", "Retry-After, RateLimit, RateLimit-Policy"],
  ["*", "*"],
  [" * ", " * "],
])(
  "scripts of other origins that may read the answer may read the fields: beside %j",
  (before, after) => {
    const exposed = before === undefined ? {} : { "Access-Control-Expose-Headers": before };
    const all = written({ "Access-Control-Allow-Origin": "https://a.example", ...exposed });
    expect(all["Access-Control-Expose-Headers"]).toBe(after);
  },
);

test("without CORS nothing is exposed", () => {
  expect(written({})).not.toHaveProperty("Access-Control-Expose-Headers");
});

test("a problem is JSON", async () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 0, period: "1s" }) });
  const { denial } = await enter(gateOf({ limiter, key: "k" }));
  expect(JSON.parse(problemBody(denial as Denial))).toEqual({
    type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
    title: "Quota exceeded",
    status: 429,
    detail: "The request costs more than the whole quota.",
    "violated-policies": ["token-bucket"],
  });
});
