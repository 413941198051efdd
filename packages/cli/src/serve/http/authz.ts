/** /v1/authz: a proxy asks whether it may pass a request on, which it describes in header fields. */
import type { IncomingMessage } from "node:http";
import { clientAddress, addressKey, PROBLEM_TYPE, type HttpCall } from "sluice/http";
import {
  type PolicySet,
  type RulesDecision,
  rulesFields,
  type RulesRequest,
} from "sluice/policies";
import { type Answer, denialProblem } from "./answer.js";
import { askedOf, invalid, keyNamesOf } from "./asked.js";
import type { Route } from "./route.js";

const PARAMETERS: ReadonlySet<string> = new Set(["rule", "cost", "plan", "deny"]);
/** Statuses for proxies that do not pass on 429. */
const DENY_STATUSES: ReadonlySet<string> = new Set(["403", "429", "503"]);

/** `trust`: how many proxies are in front of the service, the one that asks included. */
export function authzRoute(rules: PolicySet, trust: number): Route {
  const addressOf = clientAddress<IncomingMessage>({ trust });
  return {
    path: "/v1/authz",
    methods: ["GET", "HEAD", "POST"],
    scopes: ["decide"],
    takes: "nothing",
    async answer({ request, query }) {
      const { asked, denyStatus } = requestOf(request, query, rules, addressOf);
      return answerOf(await rules.consume(asked), denyStatus);
    },
  };
}

interface Authorization {
  readonly asked: RulesRequest;
  readonly denyStatus: number | undefined;
}

function requestOf(
  request: IncomingMessage,
  query: string,
  rules: PolicySet,
  addressOf: (raw: IncomingMessage, call: HttpCall) => string | undefined,
): Authorization {
  const parameters = parametersOf(query);
  const entries = entriesOf(request, addressOf);
  const { rule, cost, plan, deny } = parameters;
  if (deny !== undefined && !DENY_STATUSES.has(deny)) throw invalid("deny must be 403, 429 or 503");
  if (cost !== undefined && !/^\d{1,10}(?:\.\d{1,3})?$/.test(cost)) {
    throw invalid("cost must be a number of units");
  }
  const body = {
    entries,
    ...(rule !== undefined && { rule, key: keyFor(rules, rule, entries) }),
    ...(cost !== undefined && { cost: Number(cost) }),
    ...(plan !== undefined && { plan }),
  };
  return {
    asked: askedOf(body, rules),
    denyStatus: deny === undefined ? undefined : Number(deny),
  };
}

type Entries = Record<string, string>;

/** X-Sluice-Key is the key of the requested rule, if that has one entry which the request itself does not give. */
function keyFor(rules: PolicySet, rule: string, entries: Entries): string | undefined {
  const key = keyNamesOf(rules.document).get(rule);
  const [only = ""] = key ?? [];
  return key?.length === 1 ? (entries["key"] ?? entries[only]) : undefined;
}

/** What the proxy says of the request: the entries address, method, path, host and key. */
function entriesOf(
  request: IncomingMessage,
  addressOf: (raw: IncomingMessage, call: HttpCall) => string | undefined,
): Entries {
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const entries: Entries = {};
  const address = header("x-forwarded-for") && addressOf(request, callOf(request, header));
  const method = header("x-forwarded-method") ?? header("x-original-method");
  const path = header("x-forwarded-uri") ?? header("x-original-uri");
  const host = header("x-forwarded-host");
  const key = header("x-sluice-key");
  if (address !== undefined) entries["address"] = addressKey(address);
  if (method !== undefined) entries["method"] = method;
  if (path !== undefined) entries["path"] = pathIn(path);
  if (host !== undefined) entries["host"] = hostIn(host);
  if (key !== undefined) entries["key"] = key;
  return entries;
}

function callOf(request: IncomingMessage, header: (name: string) => string | undefined): HttpCall {
  return { method: request.method ?? "GET", address: request.socket.remoteAddress, header };
}

/** As proxies compare hosts: a client may write a port and a dot at the end, and reaches the same server. */
function hostIn(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
}

/** Without the query; of a whole URL its path; in the one spelling that rules are written in. */
function pathIn(target: string): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const end = path.search(/[?#]/);
  const bare = end < 0 ? path : path.slice(0, end);
  return bare === "" ? "/" : bare.startsWith("/") && UNUSUAL.test(bare) ? plainPath(bare) : bare;
}

const UNUSUAL = /%|\/\/|\/\./;
const ESCAPES = /(?:%[\da-f]{2})+/gi;

/**
 * Escapes decoded once, adjacent slashes merged, dot segments resolved, as nginx makes its `$uri`: the server behind does
 * some of that, and another spelling of a path must not get past a rule.
 */
function plainPath(path: string): string {
  const decoded = path.replace(ESCAPES, (escapes) =>
    Buffer.from(escapes.replaceAll("%", ""), "hex").toString(),
  );
  const steps = decoded.split("/").slice(1);
  const kept: string[] = [];
  for (const step of steps) {
    if (step === "..") kept.pop();
    else if (step !== "" && step !== ".") kept.push(step);
  }
  const isFolder = kept.length > 0 && ["", ".", ".."].includes(steps.at(-1) as string);
  return `/${kept.join("/")}${isFolder ? "/" : ""}`;
}

function parametersOf(query: string): Readonly<Record<string, string | undefined>> {
  const parameters: Record<string, string | undefined> = {};
  if (query === "") return parameters;
  for (const [name, value] of new URLSearchParams(query)) {
    if (!PARAMETERS.has(name)) {
      throw invalid(`${JSON.stringify(name.slice(0, 60))} is no parameter`);
    }
    if (parameters[name] !== undefined) throw invalid(`${name} is given twice`);
    parameters[name] = value;
  }
  return parameters;
}

const NOT_KEPT = ["Cache-Control", "no-store"] as const;

/** Empty if it may pass: the fields are for the proxy to copy. */
function answerOf(decision: RulesDecision, denyStatus: number | undefined): Answer {
  const fields = [...rulesFields(decision), NOT_KEPT];
  if (decision.allowed) return { status: 200, type: "", fields, body: "" };
  const problem = denialProblem(decision);
  // The body has the status that the client is to see, whatever status the proxy needs.
  const body = JSON.stringify(problem);
  return { status: denyStatus ?? problem.status, type: PROBLEM_TYPE, fields, body };
}
