/** The suite notices what adapters get wrong, and what they declare though it is not so. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fieldsOfNode, NodeCall, onOutcome, sendProblem } from "../../src/adapters/node-call.js";
import { createGate, problemBody, writeFields } from "../../src/http/index.js";
import { InvalidOptionError } from "../../src/index.js";
import { httpConformance, type HttpSubject, type Weakness } from "../../src/testing/index.js";
import { patience } from "../../src/testing/http/patience.js";
import { listenHttp, SLOW_MS } from "./subjects/listen.js";

type Parts = Readonly<{
  call: (request: IncomingMessage, response: ServerResponse) => NodeCall;
  write: typeof writeFields;
  deny: typeof sendProblem;
  end: typeof onOutcome;
  /** What comes of an error of the gate. */
  failed: (response: ServerResponse, go: () => void) => void;
}>;

const RIGHT: Parts = {
  call: (request, response) => new NodeCall(request, response),
  write: writeFields,
  deny: sendProblem,
  end: (response, settle) => {
    const { url } = (response as ServerResponse).req;
    const thrown = url === "/boom" && { error: new Error("boom") };
    onOutcome(response, (outcome) => settle({ ...outcome, ...thrown }));
  },
  failed: (response) => {
    response.statusCode = 500;
    response.end();
  },
};

const STATUSES: Readonly<Record<string, number>> = {
  "/unauthorized": 401,
  "/missing": 404,
  "/teapot": 418,
  "/boom": 500,
};

/** An adapter of which parts may be wrong, in front of as much of the application as the cases below need. */
function subjectOf(wrong: Partial<Parts>, weaknesses?: HttpSubject["weaknesses"]): HttpSubject {
  const { call, write, deny, end, failed } = { ...RIGHT, ...wrong };
  return {
    name: "mine",
    weaknesses,
    start: async (options) => {
      const gate = createGate(options);
      const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
        const go = (): void => {
          response.statusCode = STATUSES[request.url ?? "/"] ?? 200;
          setTimeout(() => response.end("ok"), request.url === "/slow" ? SLOW_MS : 0);
        };
        try {
          const pass = await gate.enter(request, call(request, response));
          write(pass.fields, fieldsOfNode(response));
          if (pass.settle !== undefined) end(response, pass.settle);
          if (pass.denial === undefined) go();
          else deny(request, pass.denial, response);
        } catch {
          failed(response, go);
        }
      };
      return listenHttp(
        createServer((request, response) => {
          if (request.url === "/cors") response.setHeader("Access-Control-Allow-Origin", "*");
          void serve(request, response);
        }),
      );
    },
  };
}

/** The cases whose names have one of these words. */
function run(subject: HttpSubject, words: string): Promise<void> {
  const found = httpConformance({ subject }).find(({ name }) => name.includes(words));
  if (found === undefined) throw new Error(`no case says "${words}"`);
  return found.run();
}

/** An adapter that reads something else of a request. */
function reading(change: (call: NodeCall, request: IncomingMessage) => object): Partial<Parts> {
  return {
    call: (request, response) => {
      const right = new NodeCall(request, response);
      const { method, address } = right;
      const header = (name: string): string | undefined => right.header(name);
      return { method, address, header, ...change(right, request) } as NodeCall;
    },
  };
}

/** An adapter that sends another denial. */
function denying(change: (response: ServerResponse, body: string) => string): Partial<Parts> {
  return {
    deny: (_request, denial, response) => {
      const answer = response as ServerResponse;
      answer.statusCode = denial.status;
      answer.setHeader("Content-Type", "application/problem+json");
      answer.end(change(answer, problemBody(denial)));
    },
  };
}

const FAULTS: readonly (readonly [what: string, wrong: Partial<Parts>, cases: string])[] = [
  ["writes no fields", { write: () => undefined }, "states its limit, byte for byte"],
  [
    "writes one field of two",
    { write: (fields, answer) => writeFields(fields.slice(1), answer) },
    "states its limit, byte for byte",
  ],
  [
    "writes a field in two lines",
    {
      write: (fields, answer) =>
        writeFields(fields, {
          ...answer,
          set: (name, value) => answer.set(name, [value, value] as never),
        }),
    },
    "states its limit, byte for byte",
  ],
  [
    "does not expose its fields",
    { write: (fields, answer) => writeFields(fields, { ...answer, get: () => undefined }) },
    "scripts of other origins",
  ],
  [
    "answers with another status",
    denying((response, body) => {
      response.statusCode = 403;
      return body;
    }),
    "refuses a request with 429",
  ],
  [
    "answers with a body of another type",
    denying((response, body) => {
      response.setHeader("Content-Type", "application/json");
      return body;
    }),
    "nothing is left",
  ],
  [
    "adds a charset",
    denying((response, body) => {
      response.setHeader("Content-Type", "application/problem+json; charset=utf-8");
      return body;
    }),
    "and no more",
  ],
  ["answers with another body", denying(() => "{}"), "refuses a request with 429"],
  [
    "lets Retry-After be",
    denying((response, body) => {
      response.removeHeader("Retry-After");
      return body;
    }),
    "rounded up",
  ],
  [
    "rounds Retry-After down",
    denying((response, body) => {
      response.setHeader("Retry-After", String(Number(response.getHeader("Retry-After")) - 1));
      return body;
    }),
    "rounded up",
  ],
  [
    "ends the connection with a denial",
    denying((response, body) => {
      response.setHeader("Connection", "close");
      return body;
    }),
    "many requests of one connection",
  ],
  [
    "believes X-Forwarded-For",
    reading((call) => ({ address: call.header("x-forwarded-for") ?? call.address })),
    "is not moved",
  ],
  [
    "believes Forwarded",
    reading((call) => ({ address: call.header("forwarded") ?? call.address })),
    "is not moved",
  ],
  ["knows no address", reading(() => ({ address: undefined })), "a limiter alone"],
  ["knows no fields", reading(() => ({ header: () => undefined })), "preflights"],
  ["knows no methods", reading(() => ({ method: "GET" })), "preflights"],
  [
    "lets requests pass where the gate fails",
    { failed: (_response, go) => go() },
    "takes a missing key",
  ],
  [
    "refuses where the gate fails",
    {
      failed: (response) => {
        response.statusCode = 429;
        response.end();
      },
    },
    "a charge function that throws",
  ],
  [
    "settles with another status",
    {
      end: (response, settle) =>
        onOutcome(response, (outcome) => settle({ ...outcome, status: 200 })),
    },
    "settles a request for /unauthorized once",
  ],
  ["does not tell what was thrown", { end: onOutcome }, "tells what a handler threw"],
  [
    "tells of an error where there was none",
    {
      end: (response, settle) =>
        onOutcome(response, (outcome) => settle({ ...outcome, error: new Error("401") })),
    },
    "tells of no error",
  ],
  [
    "settles as aborted what arrived",
    {
      end: (response, settle) =>
        onOutcome(response, (outcome) => settle({ ...outcome, aborted: true })),
    },
    "settles a request for /unauthorized once",
  ],
];

test("the suite takes a declaration that is so", async () => {
  const wrong = denying((response, body) => {
    response.setHeader("Content-Type", "application/problem+json; charset=utf-8");
    return body;
  });
  await run(subjectOf(wrong, { charset: "it is always added" }), "and no more");
});

test("the suite takes an adapter that is right in each of these cases", async () => {
  const words = new Set(FAULTS.map(([, , each]) => each));
  await Promise.all([...words].map((each) => run(subjectOf({}), each)));
});

const WEAKNESSES: readonly (readonly [Weakness, string])[] = [
  ["notFound", "no route matches"],
  ["aborts", "leaves before the answer"],
  ["errors", "tells what a handler threw"],
  ["fieldsOnThrow", "whose handler throws"],
  ["head", "charges HEAD"],
  ["options", "OPTIONS that are no preflight"],
  ["pipelining", "at once on one connection"],
];

/** What is declared of an adapter that is right. */
async function failsWhereDeclared(weakness: Weakness, words: string): Promise<void> {
  const subject = subjectOf({}, { [weakness]: "so it is said" });
  const found = httpConformance({ subject }).find(({ name }) => name.includes(words));
  expect(found?.name).toMatch(new RegExp(`: declares ${weakness}: so it is said$`));
  await expect(found?.run()).rejects.toBeInstanceOf(Error);
}

describe.concurrent("the suite", () => {
  test.each(WEAKNESSES)("fails where %s is declared though it is not so", failsWhereDeclared);
});

test.each([
  [{ weaknesses: { nothing: "at all" } }, "subject.weaknesses.nothing"],
  [{ weaknesses: { charset: "" } }, "subject.weaknesses.charset"],
  [{ start: undefined }, "subject"],
])("the suite refuses the subject %o", (change, option) => {
  const subject = { ...subjectOf({}), ...change } as HttpSubject;
  if (option === "subject") Reflect.deleteProperty(subject, "start");
  expect(() => httpConformance({ subject })).toThrow(InvalidOptionError);
  expect(() => httpConformance({ subject })).toThrow(option);
});

// Side by side: they wait for waits and timeouts of servers of their own.
describe.concurrent("the suite", () => {
  // The suite waits for what an adapter that is wrong never does.
  const { longestMs } = patience;
  beforeAll(() => {
    patience.longestMs = 5000;
  });
  afterAll(() => {
    patience.longestMs = longestMs;
  });

  test.each(FAULTS)("notices an adapter that %s", async (_, wrong, words) => {
    await expect(run(subjectOf(wrong), words)).rejects.toBeInstanceOf(Error);
  });

  test("fails where charset is declared though it is not so", () =>
    failsWhereDeclared("charset", "and no more"));
});
