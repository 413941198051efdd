/** sluice/prometheus: the counts of limiters, semaphores and stores, for Prometheus to scrape. Needs no package. */
import { Collector, type Measured, type MetricsOptions } from "../metrics/collect.js";
import { CONTENT_TYPES, exposition } from "./exposition.js";
import { formatFor } from "./negotiate.js";
import { registerIn, type RegistryLike } from "./register.js";
export type * from "../policies/index.js";

export type { Measured, MetricsOptions } from "../metrics/collect.js";
export type { RegistryLike } from "./register.js";

/** The part of node:http's request that is used. */
export interface MetricsRequest {
  /** Default: none, which is refused. */
  readonly method?: string | undefined;
  /** Of them, what the scraper accepts. */
  readonly headers: { readonly accept?: string | undefined };
}

/** The part of node:http's response that is used. */
export interface MetricsResponse {
  /** As node:http's own. */
  writeHead(status: number, headers: Record<string, string>): unknown;
  /** As node:http's own. */
  end(body?: string): unknown;
}

/** What `metrics` returns. */
export interface Metrics {
  /** All metrics now, in Prometheus' text format; in OpenMetrics if `accept`, the request's Accept field, asks for it. */
  render(accept?: string): { readonly contentType: string; readonly body: string };
  /** Answers a request of node:http, Express or Koa's `ctx.req`: GET and HEAD, on whatever path it is put. */
  readonly node: (request: MetricsRequest, response: MetricsResponse) => void;
  /** Answers a Request by a Response. */
  readonly fetch: (request: Request) => Response;
  /**
   * Adds each metric to a registry of prom-client, to be read when the registry is; what is returned takes them out.
   *
   * @throws InvalidOptionError
   */
  register(registry: RegistryLike): () => void;
}

const ALLOWED = "GET, HEAD";

/**
 * The metrics of limiters, semaphores and stores, under the names that docs/watch.md lists. The stores of limiters and
 * semaphores come with them. Keys are never labels, so there are as many series as names of policies, and few more. Reading
 * makes no call: it shows what this process counted.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { metrics } from "sluice/prometheus";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }), namespace: "api" });
 * await limiter.consume("user:42");
 * const lines = metrics([limiter]).render().body.split("\n");
 * console.log(lines.find((line) => line.startsWith("sluice_units_total"))); // sluice_units_total{limiter="api",outcome="allowed"} 1
 */
export function metrics(measured: readonly Measured[], options: MetricsOptions = {}): Metrics {
  const collector = new Collector(measured, options);
  const render: Metrics["render"] = (accept) => {
    const format = formatFor(accept);
    return {
      contentType: CONTENT_TYPES[format],
      body: exposition(collector.collect(), format),
    };
  };
  const answer = (
    method: string | undefined,
    accept: string | null | undefined,
  ): {
    readonly status: number;
    readonly headers: Record<string, string>;
    readonly body: string;
  } => {
    if (method !== "GET" && method !== "HEAD") {
      return { status: 405, headers: { Allow: ALLOWED }, body: "" };
    }
    const { contentType, body } = render(accept ?? undefined);
    const headers = { "Content-Type": contentType, Vary: "Accept", "Cache-Control": "no-store" };
    return { status: 200, headers, body: method === "HEAD" ? "" : body };
  };
  return {
    render,
    node(request, response) {
      const { status, headers, body } = answer(request.method, request.headers.accept);
      response.writeHead(status, headers);
      response.end(body);
    },
    fetch(request) {
      const { status, headers, body } = answer(request.method, request.headers.get("accept"));
      return new Response(body === "" ? null : body, { status, headers });
    },
    register: (registry) => registerIn(registry, collector),
  };
}
