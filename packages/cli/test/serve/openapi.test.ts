/** The OpenAPI document says what the service does: each route is there, and each answer is as it says. */
import { Ajv2020 } from "ajv/dist/2020.js";
import type { PoliciesDocument } from "sluice/policies";
import { expect, test } from "vitest";
import { routesOf } from "../../src/serve/http/index.js";
import { PROBLEMS } from "../../src/serve/http/problem.js";
import { type Reply, startService } from "../support/service.js";

interface Described {
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>
  >;
  readonly requestBody?: { readonly content: { "application/json": { readonly schema: object } } };
}

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: object };
}

const document: PoliciesDocument = {
  defaults: { onStoreFailure: "closed" },
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "token-bucket", limit: 3, period: "1h" },
      candidate: { policy: { algorithm: "gcra", limit: 1, period: "1s" } },
    },
    {
      name: "path",
      match: { path: "/login" },
      policy: { algorithm: "calendar-window", limit: 5, unit: "month" },
    },
    { name: "free", match: { path: "/free" }, policy: { algorithm: "unlimited" } },
    {
      name: "none",
      match: { path: "/none" },
      policy: { algorithm: "token-bucket", limit: 0, period: "1s" },
    },
  ],
  overrides: [{ rule: "api", key: "user=evil", mode: "deny" }],
};

const ask = { user: "ann", path: "/login" };
const evil = { rule: "api", key: "evil" };

/** In place of the ticket that was answered last. */
const LAST_TICKET = "the last one";

/** What is asked of each path, in order; a body makes it a POST. */
const CALLS: readonly (readonly [path: string, body?: unknown])[] = [
  ["/v1/consume", { entries: ask }],
  ["/v1/consume", { entries: { path: "/free" } }],
  ["/v1/consume", { entries: { path: "/none" } }],
  ["/v1/consume", { rule: "api", key: "ann", cost: 9 }],
  ["/v1/consume", { rule: "api", key: { user: "ann" }, cost: 2, plan: "pro", slot: "a" }],
  ["/v1/consume", evil],
  ["/v1/consume?denied=200", evil],
  ["/v1/consume", { rule: "nothing", key: "a" }],
  ["/v1/consume", "{"],
  ["/v1/consume", {}],
  ["/v1/consume", "x".repeat(300_000)],
  ["/v1/batch", { requests: [{ entries: ask }, evil], atomic: true }],
  ["/v1/batch", { requests: [{ entries: ask }, { rule: "api", key: "ben" }] }],
  ["/v1/batch", { requests: [] }],
  ["/v1/batch", { requests: [{ entries: ask }], atomic: 1 }],
  ["/v1/consume-up-to", { rule: "api", key: "eve", cost: 5 }],
  ["/v1/consume-up-to", { rule: "api", key: "eve", cost: 5 }],
  ["/v1/consume-up-to", { rule: "api", key: "eve", cost: 0.5 }],
  ["/v1/peek", { entries: ask }],
  ["/v1/peek", evil],
  ["/v1/explain", { entries: ask }],
  ["/v1/explain", { entries: {} }],
  ["/v1/penalize", { rule: "api", key: "ann", amount: 2 }],
  ["/v1/penalize", { rule: "api", key: "ann" }],
  ["/v1/refund", { rule: "api", key: "ann", amount: 2, idempotencyKey: "a-1" }],
  ["/v1/refund", { entries: ask, amount: 1 }],
  ["/v1/refund", { entries: ask, amount: 1, idempotencyKey: "a b" }],
  ["/v1/settle", { rule: "api", key: "ann", reserved: 2, actual: 1, idempotencyKey: "a-2" }],
  ["/v1/settle", { rule: "api", key: "ann", reserved: 1, actual: 2 }],
  ["/v1/settle", { rule: "api", key: "ann", reserved: 1, actual: -2 }],
  ["/v1/reserve", { rule: "api", key: "ben", cost: 3, maxWait: "5h" }],
  ["/v1/reserve", { rule: "api", key: "ben", cost: 3, maxWait: "1s" }],
  ["/v1/reserve", { rule: "api", key: "ben", maxWait: "soon" }],
  ["/v1/cancel", { ticket: "none" }],
  ["/v1/cancel", { ticket: LAST_TICKET }],
  ["/v1/authz?rule=api"],
  ["/v1/authz?rule=none"],
  ["/v1/authz?rule=none&deny=403"],
  ["/v1/authz"],
  ["/v1/semaphores/acquire", { semaphore: "jobs", key: "a", limit: 1, leaseDuration: "5s" }],
  ["/v1/semaphores/renew", { ticket: LAST_TICKET }],
  ["/v1/semaphores/acquire", { semaphore: "jobs", key: "a", limit: 1, leaseDuration: "5s" }],
  ["/v1/semaphores/acquire", { key: "a", limit: 0 }],
  ["/v1/semaphores/list", { semaphore: "jobs", key: "a", limit: 1 }],
  ["/v1/semaphores/list", { key: "a" }],
  ["/v1/semaphores/release", { ticket: LAST_TICKET }],
  ["/v1/semaphores/renew", { ticket: LAST_TICKET }],
  ["/v1/semaphores/reset", { semaphore: "jobs", key: "a", limit: 1 }],
  ["/v1/semaphores/reset", { key: "a", limit: 1, ticket: "none" }],
  ["/v1/semaphores/release", { ticket: "none" }],
  ["/v1/mode", { mode: "shadow" }],
  ["/v1/mode", { mode: null }],
  ["/v1/mode", { mode: "none" }],
  ["/json", { domain: "d", descriptors: [{ entries: [{ key: "user", value: "j" }] }] }],
  [
    "/json",
    { domain: "d", descriptors: [{ entries: [{ key: "user", value: "j" }] }], hitsAddend: 9 },
  ],
  ["/json", { domain: "" }],
  ["/v1/policies"],
  ["/v1/openapi.json"],
  ["/healthz"],
  ["/readyz"],
  ["/metrics"],
];

/** Asked and answered in a form of its own, by the library's RemoteStore. */
const OWN_FORM = "/v1/store";

test("the document has each route, with its methods and scopes, and no other", async () => {
  const { service, ask: get } = await startService(document);
  const { body, headers } = await get("/v1/openapi.json");
  expect(headers["content-type"]).toBe("application/json");
  const { openapi, paths } = body as unknown as OpenApi;
  expect(openapi).toBe("3.1.0");
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { security = [] }]: [string, Described & { security?: { token: string[] }[] }]) => [
        path,
        method.toUpperCase(),
        ...security.flatMap(({ token }) => token),
      ],
    ),
  );
  const served = routesOf(service).flatMap(({ path, methods, scopes }) =>
    methods.map((method) => [path, method, ...scopes]),
  );
  expect(described.map(String).toSorted()).toEqual(served.map(String).toSorted());
});

test("each answer is as the document says, and each good request too", async () => {
  const { ask: send } = await startService(document);
  const { paths, components } = (await send("/v1/openapi.json")).body as unknown as OpenApi;
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema({ $id: "openapi", components });
  const check = (schema: object, value: unknown, what: string): void => {
    const { $ref, ...others } = schema as { $ref?: string };
    const anchored = JSON.parse(
      JSON.stringify($ref === undefined ? others : schema).replaceAll('"#/', '"openapi#/'),
    ) as object;
    ajv.validate(anchored, value);
    expect(ajv.errors, `${what}: ${JSON.stringify(value)}`).toBeNull();
  };
  const statuses = new Set<string>();
  let ticket = "";
  for (const [target, asked] of CALLS) {
    const text = JSON.stringify(asked)?.replace(LAST_TICKET, ticket);
    const body: unknown = typeof asked === "object" ? JSON.parse(text) : asked;
    const headers = { "x-sluice-key": "ann", "x-forwarded-uri": "/login" };
    const reply: Reply = await send(target, body, body === undefined ? { headers } : {});
    if (typeof reply.body["ticket"] === "string") ticket = reply.body["ticket"];
    const path = target.split("?", 1)[0] as string;
    const described = paths[path]?.[body === undefined ? "get" : "post"] as Described;
    const what = `${target} answered ${reply.status} to ${JSON.stringify(body)?.slice(0, 200)}`;
    statuses.add(`${path} ${reply.status}`);
    const answer = described.responses[reply.status];
    expect(answer, what).toBeDefined();
    const [type = ""] = (reply.headers["content-type"] ?? "").split(";");
    const schema = answer?.content?.[type]?.schema;
    if (reply.text === "") expect(answer?.content).toBeUndefined();
    else expect(schema, `${what} as ${type}`).toBeDefined();
    if (type !== "text/plain" && schema !== undefined) check(schema, reply.body, what);
    if (described.requestBody !== undefined && reply.status === 200) {
      check(described.requestBody.content["application/json"].schema, body, what);
    }
  }
  for (const path of Object.keys(paths).filter((each) => each !== OWN_FORM)) {
    expect(statuses).toContain(`${path} 200`);
  }
});

test("each reason of a problem is documented with its status", async () => {
  const { ask: send } = await startService(document);
  const { components } = (await send("/v1/openapi.json")).body as unknown as {
    components: { schemas: { Problem: { properties: { reason: { enum: string[] } } } } };
  };
  expect(components.schemas.Problem.properties.reason.enum).toEqual(Object.keys(PROBLEMS));
});
