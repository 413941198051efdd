/**
 * Which requests are sent twice: every method after every answer with every body. What was done once may be done twice
 * only if that changes nothing, or if the answer says that nothing was done.
 */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { limitFetch } from "../../src/outgoing/fetch.js";
import type { OutgoingOptions } from "../../src/outgoing/options.js";
import { limitInterceptor } from "../../src/outgoing/undici.js";
import type { Dispatch } from "../../src/outgoing/undici-types.js";
import { IDLE_CONTROLLER } from "./fakes.js";

const IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];
const OTHERS = ["POST", "PATCH", "post", "patch", "PROPPATCH"];
const METHODS = [...IDEMPOTENT, "put", ...OTHERS];
const STATUSES = [
  200, 202, 400, 401, 403, 404, 408, 409, 413, 420, 421, 423, 425, 429, 499, 500, 501, 502, 503,
  504, 507, 520, 522, 529, 599,
];
const LOST = "the connection is lost";
const ENDINGS: readonly (number | typeof LOST)[] = [...STATUSES, LOST];
const TRIES = 3;

/** Written by hand from RFC 9110 §9.2.2 and §15.6.4, RFC 6585 §4. */
function triesOf(method: string, ending: number | typeof LOST, hasRetryAfter: boolean): number {
  if (ending === 429) return TRIES;
  if (ending === 503 && hasRetryAfter) return TRIES;
  const isRetried = ending === LOST || [408, 425, 500, 502, 503, 504].includes(ending);
  return isRetried && IDEMPOTENT.includes(method.toUpperCase()) ? TRIES : 1;
}

const headersOf = (hasRetryAfter: boolean): Record<string, string> =>
  hasRetryAfter ? { "retry-after": "0" } : {};
const lost = (): Error => Object.assign(new Error("gone"), { code: "ECONNRESET" });

/** No time passes but what is waited for. */
const options = (): OutgoingOptions => {
  let nowUs = 0;
  return {
    clock: {
      nowUs: () => nowUs,
      sleep: async (ms) => {
        nowUs += Math.ceil(ms * 1e3);
      },
    },
    retries: { attempts: TRIES - 1 },
  };
};

interface Body {
  readonly name: string;
  readonly make: () => unknown;
  readonly isReplayable: boolean;
}
const BODIES: readonly Body[] = [
  { name: "none", make: () => undefined, isReplayable: true },
  { name: "text", make: () => "x", isReplayable: true },
  { name: "bytes", make: () => new Uint8Array(2), isReplayable: true },
  { name: "a form", make: () => new FormData(), isReplayable: true },
  { name: "a Blob", make: () => new Blob(["x"]), isReplayable: true },
  { name: "parameters", make: () => new URLSearchParams("a=1"), isReplayable: true },
  { name: "a web stream", make: () => new Blob(["x"]).stream(), isReplayable: false },
  { name: "a generator", make: () => (async function* () {})(), isReplayable: false },
];

/** How often a request is sent that always ends alike. */
type Count = (
  method: string,
  ending: number | typeof LOST,
  hasRetryAfter: boolean,
  body: unknown,
) => Promise<number>;

const byFetch: Count = async (method, ending, hasRetryAfter, body) => {
  let sent = 0;
  const send = async (): Promise<Response> => {
    sent += 1;
    if (ending === LOST) throw new TypeError("fetch failed", { cause: lost() });
    return new Response(null, { status: ending, headers: headersOf(hasRetryAfter) });
  };
  const init = { method, body, duplex: "half" } as RequestInit;
  const call = limitFetch({ ...options(), fetch: send })("http://a.invalid/", init);
  await call.catch(() => {});
  return sent;
};

const byUndici: Count = async (method, ending, hasRetryAfter, body) => {
  let sent = 0;
  const dispatch: Dispatch = (_, handler) => {
    sent += 1;
    queueMicrotask(() => {
      handler.onRequestStart?.(IDLE_CONTROLLER, {});
      if (ending === LOST) {
        handler.onResponseError?.(IDLE_CONTROLLER, lost());
        return;
      }
      handler.onResponseStart?.(IDLE_CONTROLLER, ending, headersOf(hasRetryAfter));
      handler.onResponseEnd?.(IDLE_CONTROLLER, {});
    });
    return true;
  };
  await new Promise<void>((resolve) => {
    const request = { origin: "http://a.invalid", path: "/", method, body };
    limitInterceptor(options())(dispatch)(request, {
      onRequestStart() {},
      onResponseEnd: () => resolve(),
      onResponseError: () => resolve(),
    });
  });
  return sent;
};

describe.each<[string, Count, readonly Body[]]>([
  ["limitFetch", byFetch, BODIES],
  [
    "limitInterceptor",
    byUndici,
    [...BODIES, { name: "a stream", make: () => Readable.from(["x"]), isReplayable: false }],
  ],
])("%s sends as often as is safe", (_, count, bodies) => {
  test.each(METHODS)("a %s", async (method) => {
    const wrong: string[] = [];
    for (const ending of ENDINGS) {
      for (const hasRetryAfter of [false, true]) {
        for (const { name, make, isReplayable } of bodies) {
          const expected = isReplayable ? triesOf(method, ending, hasRetryAfter) : 1;
          const sent = await count(method, ending, hasRetryAfter, make());
          if (sent !== expected) {
            wrong.push(
              `${ending}, Retry-After ${hasRetryAfter}, ${name}: ${sent}, not ${expected}`,
            );
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

test("a Request with a body is sent once, whatever comes back", async () => {
  for (const status of STATUSES) {
    let sent = 0;
    const send = async (): Promise<Response> => {
      sent += 1;
      return new Response("x", { status, headers: { "retry-after": "0" } });
    };
    const request = new Request("http://a.invalid/", { method: "PUT", body: "x" });
    await limitFetch({ ...options(), fetch: send })(request);
    expect([status, sent]).toEqual([status, 1]);
  }
});
