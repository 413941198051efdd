/** The OpenAPI 3.1 document of the service. The tests hold it against every route and what each answers. */
import { openApiSchemas } from "./openapi-schemas.js";
import { PROBLEMS, type ProblemReason } from "./problem.js";

/** One operation, in short. */
interface Operation {
  readonly path: string;
  readonly methods: readonly ("get" | "head" | "post")[];
  readonly summary: string;
  /** Scopes of which a token needs one; none: everybody may ask. */
  readonly scopes: readonly string[];
  /** The schema of the body, by name. */
  readonly takes?: string;
  /** The schema, or the media type, of the answer 200. */
  readonly answers: string;
  /** Answers beside 200 and what all have. */
  readonly others?: Readonly<Record<number, string>>;
  readonly problems?: readonly ProblemReason[];
  readonly parameters?: readonly object[];
}

const query = (name: string, schema: object, description: string): object => {
  return { name, in: "query", required: false, schema, description };
};
const header = (name: string, description: string): object => {
  return { name, in: "header", required: false, schema: { type: "string" }, description };
};

const DENIED_OK = query("denied", { enum: ["200"] }, "200: a denial is answered by 200 too.");
const IDEMPOTENCY = header("Idempotency-Key", "As idempotencyKey in the body.");
const DENIED = { 429: "Denial", 503: "Denial" };
const DECIDE = ["decide"];
const READ = ["read", "decide"];
const UNKNOWN_RULE: readonly ProblemReason[] = ["unknown-rule"];

const post = (
  path: string,
  summary: string,
  takes: string,
  answers: string,
  more: Partial<Operation> = {},
): Operation => {
  const methods = ["post"] as const;
  return {
    path,
    methods,
    summary,
    scopes: DECIDE,
    takes,
    answers,
    problems: UNKNOWN_RULE,
    ...more,
  };
};

const OPERATIONS: readonly Operation[] = [
  post("/v1/consume", "Takes the cost, or says when to come back.", "Asked", "Decision", {
    others: DENIED,
    parameters: [DENIED_OK],
  }),
  post(
    "/v1/batch",
    "Decides on up to 1,000 requests, each for itself or all or nothing.",
    "Batch",
    "Decisions",
  ),
  post("/v1/consume-up-to", "Takes as many whole units as there are.", "Asked", "Grant", {
    others: DENIED,
    parameters: [DENIED_OK],
  }),
  post("/v1/peek", "What consume would say; counts nothing.", "Asked", "Decision", {
    scopes: READ,
  }),
  post(
    "/v1/explain",
    "Which rules the request meets, and why not the others; counts nothing.",
    "Asked",
    "Explanation",
    {
      scopes: READ,
    },
  ),
  post("/v1/penalize", "Takes the amount whatever is left.", "Amount", "Decision"),
  post("/v1/refund", "Gives the amount back.", "Refund", "Refunds", { parameters: [IDEMPOTENCY] }),
  post(
    "/v1/settle",
    "Gives back what was not used, or takes what is missing.",
    "Settlement",
    "Refunds",
    {
      parameters: [IDEMPOTENCY],
    },
  ),
  post(
    "/v1/reserve",
    "Takes the cost for the first moment at which it fits.",
    "Reserve",
    "Reservation",
    {
      others: DENIED,
      parameters: [DENIED_OK],
    },
  ),
  post("/v1/cancel", "Gives a reserved start back.", "Cancel", "Cancelled"),
  {
    path: "/v1/authz",
    methods: ["get", "head", "post"],
    summary: "For proxies: an empty 200 where the request may pass.",
    scopes: DECIDE,
    answers: "",
    others: { 403: "AuthzDenial", 429: "AuthzDenial", 503: "AuthzDenial" },
    problems: UNKNOWN_RULE,
    parameters: [
      query("rule", { type: "string" }, "The one rule to ask."),
      query("cost", { type: "number" }, "Units; default 1."),
      query("plan", { type: "string" }, "The plan whose limits apply."),
      query("deny", { enum: ["403", "429", "503"] }, "The status of denials."),
      header("X-Sluice-Key", "The entry key; with rule, the key of that rule."),
      header("X-Forwarded-For", "The entry address is found in it."),
      header("X-Forwarded-Method", "The entry method."),
      header("X-Forwarded-Uri", "The entry path is its path."),
      header("X-Forwarded-Host", "The entry host."),
    ],
  },
  post("/v1/semaphores/acquire", "Takes a permit, or waits in line for one.", "Acquire", "Permit", {
    others: { 429: "BusyDenial" },
    problems: ["shutting-down"],
  }),
  post("/v1/semaphores/renew", "Holds a permit for another lease.", "Holding", "Renewed", {
    problems: [],
  }),
  post("/v1/semaphores/release", "Gives a permit to the next in line.", "Holding", "Released", {
    problems: [],
  }),
  post("/v1/semaphores/list", "Who holds and who waits for a key.", "OneKey", "Listing", {
    scopes: READ,
    problems: [],
  }),
  post("/v1/semaphores/reset", "Ends every permit of a key that is held now.", "OneKey", "Ended", {
    scopes: ["admin"],
    problems: [],
  }),
  {
    path: "/v1/mode",
    methods: ["post"],
    summary: "Switches all rules of this process to shadow or off, or back.",
    scopes: ["admin"],
    takes: "ModeSwitch",
    answers: "Status",
  },
  {
    path: "/v1/policies",
    methods: ["get", "head"],
    summary: "The document in force.",
    scopes: ["read"],
    answers: "Policies",
  },
  {
    path: "/v1/openapi.json",
    methods: ["get", "head"],
    summary: "This document.",
    scopes: [],
    answers: "Object",
  },
  {
    path: "/json",
    methods: ["post"],
    summary: "Envoy's RateLimitRequest in proto3 JSON; 429 where it is over a limit.",
    scopes: ["decide"],
    takes: "Object",
    answers: "Object",
    others: { 429: "Object" },
  },
  {
    path: "/v1/store",
    methods: ["post"],
    summary: "Calls of the library's RemoteStore, in a form of its own.",
    scopes: ["store"],
    takes: "Object",
    answers: "Object",
  },
  {
    path: "/healthz",
    methods: ["get", "head"],
    summary: "Whether the process runs.",
    scopes: [],
    answers: "Health",
  },
  {
    path: "/readyz",
    methods: ["get", "head"],
    summary: "Whether it can decide now.",
    scopes: [],
    answers: "Readiness",
    others: { 503: "Readiness" },
  },
  {
    path: "/metrics",
    methods: ["get", "head"],
    summary: "Counts for Prometheus.",
    scopes: ["read"],
    answers: "text/plain",
  },
];

const FIELDS = {
  "RateLimit-Policy": {
    schema: { type: "string" },
    description: "The limits, as draft-ietf-httpapi-ratelimit-headers-11 has it.",
  },
  RateLimit: { schema: { type: "string" }, description: "What is left of them." },
  "Retry-After": { schema: { type: "string" }, description: "Seconds, on a denial that ends." },
};

type Answers = Record<string, object>;

function answersOf(operation: Operation): Answers {
  const { answers, others = {}, problems = [], takes, scopes } = operation;
  const all: Answers = { 200: answerOf("Done.", answers, "application/json") };
  const reasons = new Set<ProblemReason>([...problems, "invalid-request", "internal"]);
  if (takes !== undefined) {
    for (const each of ["bad-json", "body-too-large", "wrong-type"] as const) reasons.add(each);
    reasons.add("store-unavailable");
  }
  if (scopes.length > 0) {
    for (const each of ["unauthorized", "forbidden"] as const) reasons.add(each);
  }
  for (const reason of reasons) {
    const [status] = PROBLEMS[reason];
    all[status] = answerOf("A problem.", "Problem", "application/problem+json");
  }
  for (const [status, schema] of Object.entries(others)) {
    const isProblem = schema.endsWith("Denial");
    const type = isProblem ? "application/problem+json" : "application/json";
    const known = all[status];
    all[status] =
      known === undefined || !isProblem
        ? answerOf(isProblem ? "Denied." : "Not now.", schema, type)
        : answerOf("Denied, or a problem.", [schema, "Problem"], type);
  }
  return all;
}

function answerOf(description: string, schema: string | readonly string[], type: string): object {
  const fields = { description, headers: FIELDS };
  if (schema === "") return fields;
  if (schema === "text/plain") {
    return { description, content: { "text/plain": { schema: { type: "string" } } } };
  }
  const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
  const one = typeof schema === "string" ? ref(schema) : { anyOf: schema.map(ref) };
  return { ...fields, content: { [type]: { schema: one } } };
}

function operationOf(operation: Operation, method: string): object {
  const { path, summary, scopes, takes, parameters } = operation;
  const id = `${method} ${path}`.replace(/[^a-z0-9]+/gi, "-");
  return {
    operationId: id,
    summary,
    ...(parameters !== undefined && { parameters }),
    ...(takes !== undefined && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: { $ref: `#/components/schemas/${takes}` } } },
      },
    }),
    // OpenAPI 3.1 allows scopes there for tokens of any kind: one requirement for each that is enough.
    security: scopes.map((scope) => ({ token: [scope] })),
    responses: answersOf(operation),
  };
}

function made(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of OPERATIONS) {
    const { path, methods } = operation;
    paths[path] = Object.fromEntries(methods.map((each) => [each, operationOf(operation, each)]));
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Sluice",
      version: "1",
      summary: "Rate limits, decided by a document of policies.",
    },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: openApiSchemas,
    },
  };
}

/** The document, as JSON. */
export const OPENAPI = JSON.stringify(made());
