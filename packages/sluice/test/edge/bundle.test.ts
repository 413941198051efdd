/** The library bundled into one small file, in a world without Node: as in a browser, a worker or an edge runtime. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { Hono } from "hono";
import { beforeAll, describe, expect, test } from "vitest";
import { keyId } from "../../src/audit/index.js";
import { identifyBy } from "../../src/core/identity.js";
import { LoneScripts } from "../../src/stores/redis/lone-scripts.js";
import { ruleOf } from "../../src/algorithms/rule.js";
import type * as honoEntry from "../../src/adapters/hono.js";
import type * as headersEntry from "../../src/headers/index.js";
import * as node from "../../src/index.js";
import type * as otelEntry from "../../src/otel/index.js";
import type * as fetchEntry from "../../src/outgoing/fetch.js";
import type * as redisEntry from "../../src/stores/redis/index.js";

/** What these platforms have in common beside the language; no process, Buffer, require or setImmediate. */
const WEB = {
  AbortController,
  AbortSignal,
  Blob,
  DOMException,
  Event,
  EventTarget,
  FormData,
  Headers,
  ReadableStream,
  Request,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  clearTimeout,
  crypto,
  performance,
  queueMicrotask,
  setTimeout,
};

const ENTRIES = {
  sluice: "index.ts",
  redis: "stores/redis/index.ts",
  headers: "headers/index.ts",
  fetch: "outgoing/fetch.ts",
  hono: "adapters/hono.ts",
  otel: "otel/index.ts",
};

interface Bundle {
  readonly sluice: typeof node;
  readonly redis: typeof redisEntry;
  readonly headers: typeof headersEntry;
  readonly fetch: typeof fetchEntry;
  readonly hono: typeof honoEntry;
  readonly otel: typeof otelEntry;
}

const source = (file: string): string =>
  fileURLToPath(new URL(`../../src/${file}`, import.meta.url));

/** Errors where a file imports a module of Node. */
async function bundled(platform: "neutral" | "browser"): Promise<Bundle> {
  const lines = Object.entries(ENTRIES).map(
    ([name, file]) => `export * as ${name} from ${JSON.stringify(source(file))};`,
  );
  const { outputFiles } = await build({
    stdin: { contents: lines.join("\n"), resolveDir: source("."), loader: "ts" },
    bundle: true,
    write: false,
    minify: true,
    format: "iife",
    globalName: "bundle",
    platform,
    logLevel: "silent",
  });
  const context = createContext({ ...WEB });
  runInContext(outputFiles[0]?.text ?? "", context);
  return runInContext("bundle", context) as Bundle;
}

describe.each(["neutral", "browser"] as const)("a bundle for the platform %s", (platform) => {
  let edge: Bundle;
  beforeAll(async () => {
    edge = await bundled(platform);
  });

  test("limits in memory", async () => {
    const { RateLimiter, tokenBucket, Semaphore } = edge.sluice;
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1h" }) });
    const allowed = [];
    for (let i = 0; i < 3; i++) allowed.push((await limiter.consume("user:42")).allowed);
    expect(allowed).toEqual([true, true, false]);
    expect(limiter.consumeSync("user:43").remaining).toBe(1);
    await limiter.close();
    const semaphore = new Semaphore({ limit: 1 });
    const permit = await semaphore.acquire("k");
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
    await permit.release();
    await semaphore.close();
  });

  test.each([
    ["sha256", "sha256" as const],
    ["a secret", { hmacSecret: "a secret of some length" }],
  ])(
    "runs the same scripts under the same ids through a function, by %s",
    async (_title, identity) => {
      const { RateLimiter, fixedWindow } = edge.sluice;
      const policy = { limit: 5, window: "1h" } as const;
      const asked: { sha: string; keys: readonly string[] }[] = [];
      const store = new edge.redis.RedisStore({
        client: (sha: string, _source: string, keys: readonly string[]) => {
          asked.push({ sha, keys });
          return Promise.reject(new Error("no server here"));
        },
      });
      const limiter = new RateLimiter({
        policy: fixedWindow(policy),
        store,
        identity,
        onStoreFailure: "closed",
      });
      expect((await limiter.consume("user:42")).source).toBe("fail-closed");
      const rules = [ruleOf(node.fixedWindow(policy))];
      const scripts = new LoneScripts();
      scripts.prepare(rules);
      const id = identifyBy(identity, true)("user:42");
      expect(asked).toEqual([
        { sha: scripts.of(rules).script.sha, keys: [`sluice:fixed-window:{${id}}`] },
      ]);
      if (identity === "sha256") expect(id).toBe(keyId("user:42"));
      await limiter.close();
      await store.close();
    },
  );

  test("tells the active span of a denial", async () => {
    const { RateLimiter, tokenBucket } = edge.sluice;
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
    const seen: unknown[] = [];
    const span = {
      isRecording: () => true,
      addEvent: (...event: readonly unknown[]) => seen.push(event),
    };
    const end = edge.otel.instrument({ trace: { getActiveSpan: () => span as never } }, [limiter]);
    for (let i = 0; i < 2; i++) await limiter.consume("user:42");
    end();
    expect(seen).toMatchObject([["sluice.decision", { "sluice.outcome": "denied" }]]);
    await limiter.close();
  });

  test("lets requests to Hono pass, or not", async () => {
    const { RateLimiter, fixedWindow } = edge.sluice;
    const limiter = new RateLimiter({ policy: fixedWindow({ limit: 1, window: "1h" }) });
    const app = new Hono();
    app.use(edge.hono.rateLimit(limiter, { address: () => "192.0.2.7" }));
    app.get("/", (c) => c.text("ok"));
    expect((await app.request("/")).status).toBe(200);
    expect((await app.request("/")).status).toBe(429);
    await limiter.close();
  });

  test("keeps the names of errors", () => {
    const { sluice } = edge;
    try {
      sluice.gcra({ limit: -1, period: 1 });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).toMatch(/^InvalidOptionError: limit/);
    }
    const names = Object.keys(sluice).filter((name) => name.endsWith("Error"));
    expect(names.length).toBeGreaterThan(7);
    expect(new sluice.CrossSlotError().name).toBe("CrossSlotError");
  });

  test("writes fields, and waits for others' limits", async () => {
    const { RateLimiter, tokenBucket } = edge.sluice;
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1s" }) });
    expect(edge.headers.formatRetryAfter(1500)).toBe("2");
    let calls = 0;
    const fetch = edge.fetch.limitFetch({
      limiter,
      fetch: () => {
        calls += 1;
        return Promise.resolve(new Response("ok"));
      },
    });
    expect(await (await fetch("https://api.example.com/")).text()).toBe("ok");
    expect(calls).toBe(1);
    await limiter.close();
  });
});

/** What adapters load of their own frameworks. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  // Its errors and decorators are known by their identity.
  "nest.ts": ["@nestjs/common"],
};

test.each(readdirSync(source("adapters")).filter((file) => !file.endsWith(".test.ts")))(
  "the adapter %s loads no other framework, nor anything else that is not Node's",
  async (file) => {
    const { metafile } = await build({
      entryPoints: [source(`adapters/${file}`)],
      bundle: true,
      write: false,
      metafile: true,
      packages: "external",
      format: "esm",
      platform: "node",
      logLevel: "silent",
    });
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
    const loaded = new Set(imports.map(({ path }) => path));
    expect([...loaded].filter((path) => !path.startsWith("node:"))).toEqual(OWN[file] ?? []);
  },
);
