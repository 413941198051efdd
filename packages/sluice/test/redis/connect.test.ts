/** RedisStore.connect with each client that may be installed, on real servers. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { inspect, promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { RateLimiter, Semaphore, type SluiceError, tokenBucket } from "../../src/index.js";
import { type ConnectOptions, RedisStore } from "../../src/stores/redis/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { clients } from "../support/clients.js";
import { startCluster } from "../support/cluster.js";
import { startTlsRedis } from "../support/tls.js";

/** What came of connecting and consuming once. */
interface Outcome {
  readonly remaining?: number;
  readonly code?: string;
  /** The error as console.log would show it, causes and all. */
  readonly text?: string;
}
type Attempt = (url: string, options?: ConnectOptions) => Promise<Outcome>;

const PASSWORD = "correct horse/battery:staple";
const WRONG = "tr0ub4dor-and-3";

const here: Attempt = async (url, options) => {
  try {
    const store = await RedisStore.connect(url, options);
    const policy = tokenBucket({ limit: 10, period: "1d" });
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
    const { remaining } = await limiter.consume("k");
    await limiter.close();
    await store.close();
    return { remaining };
  } catch (error) {
    return { code: (error as SluiceError).code, text: inspect(error, { depth: 9 }) };
  }
};

/** A client gives up after 5 seconds: on a machine that is too busy for that, the question is put again. */
function patiently(attempt: Attempt): Attempt {
  return async (url, options) => {
    for (let left = 20; ; left--) {
      const outcome = await attempt(url, options);
      if (left === 0 || !/no answer within|[Tt]imed? ?out/.test(outcome.text ?? "")) return outcome;
    }
  };
}

/** The same, in a process and on a package that has only `installed` beside it. */
const PROGRAM = `
import { inspect } from "node:util";
import { RateLimiter, tokenBucket } from "./dist/index.js";
import { RedisStore } from "./dist/stores/redis/index.js";
const tokenPolicy = tokenBucket({ limit: 10, period: "1d" });
let outcome;
try {
  const store = await RedisStore.connect(process.argv[2], JSON.parse(process.argv[3]));
  const limiter = new RateLimiter({
    policy: tokenPolicy, store, onStoreFailure: "throw", timeout: "30s",
  });
  const { remaining } = await limiter.consume("k");
  await limiter.close();
  await store.close();
  outcome = { remaining };
} catch (error) {
  outcome = { code: error.code, text: inspect(error, { depth: 9 }) };
}
console.log(JSON.stringify(outcome));
`;

async function elsewhere(built: BuiltPackage, ...args: Parameters<Attempt>): Promise<Outcome> {
  const [url, options = {}] = args;
  const program = join(built.directory, "connect.js");
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    program,
    url,
    JSON.stringify(options),
  ]);
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Outcome;
}

async function builtWith(...installed: string[]): Promise<BuiltPackage> {
  const built = await buildPackage(installed);
  writeFileSync(join(built.directory, "connect.js"), PROGRAM);
  return built;
}

// Side by side, because a client may take seconds to give up.
describe.concurrent.each(["redis", "ioredis"])("connect with %s", (name) => {
  let built: BuiltPackage | undefined;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  /** `redis` is found first here, so the other one needs a place without it. */
  const attemptOnce: Attempt = (url, options) =>
    built === undefined ? here(url, options) : elsewhere(built, url, options);
  const attempt = patiently(attemptOnce);
  const withLogin = (login: string, path = ""): string =>
    `redis://${login}@127.0.0.1:${redis.port}${path}`;
  const escaped = encodeURIComponent(PASSWORD);

  beforeAll(async () => {
    if (name === "ioredis") built = await builtWith("ioredis");
    redis = await startRedis();
    const setUp = await clients.ioredis({ url: redis.url });
    await setUp.command("ACL", "SETUSER", "limiter", "on", `>${PASSWORD}`, "~*", "+@all");
    await setUp.command("CONFIG", "SET", "requirepass", PASSWORD);
    await setUp.close();
  });
  afterAll(async () => {
    await redis.stop();
    built?.remove();
  });

  const keysIn = async (db: number): Promise<unknown> => {
    const { command, close } = await clients.ioredis({ url: redis.url, password: PASSWORD });
    await command("SELECT", String(db));
    const keys = await command("DBSIZE");
    await close();
    return keys;
  };

  test("uses the password of the URL", async () => {
    const outcome = await attempt(withLogin(`:${escaped}`));
    expect(outcome.remaining, outcome.text).toBeLessThan(10);
  });

  test("uses the user and the database of the URL", async () => {
    expect(await attempt(withLogin(`limiter:${escaped}`, "/7"))).toEqual({ remaining: 9 });
    expect(await keysIn(7)).toBe(1);
  });

  test("prefers the options to the URL", async () => {
    const options = { username: "limiter", password: PASSWORD };
    expect(await attempt(withLogin("nobody:nothing", "/8"), options)).toEqual({ remaining: 9 });
  });

  test.each([
    ["password", `:${WRONG}`, /WRONGPASS/],
    ["user", `nobody:${WRONG}`, /WRONGPASS/],
  ])("rejects at once for a wrong %s, without printing the password", async (_, login, why) => {
    const { code, text } = await attempt(withLogin(login));
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(why);
    expect(text).not.toContain(WRONG);
  });

  test("rejects where the server wants a password and there is none", async () => {
    const { code, text } = await attempt(redis.url);
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(/NOAUTH/);
  });

  test("rejects for a database that the server does not have", async () => {
    const { code, text } = await attempt(withLogin(`:${escaped}`, "/99"));
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(/out of range/);
  });

  test("rejects for a port that nobody listens on, and names it", async () => {
    const gone = await startRedis();
    await gone.stop();
    const { code, text } = await attempt(`redis://:${WRONG}@127.0.0.1:${gone.port}`);
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(new RegExp(`127\\.0\\.0\\.1:${gone.port} with ${name}: .*ECONNREFUSED`));
    expect(text).not.toContain(WRONG);
  });

  test("rejects when the server accepts and never answers", async ({ onTestFinished: onEnd }) => {
    const silent = createServer((socket) => socket.on("error", () => {}).resume());
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    onEnd(() => void silent.close());
    const { port } = silent.address() as { port: number };
    const { code, text } = await attemptOnce(`redis://127.0.0.1:${port}`);
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(/no answer within|timed? ?out/i);
  });

  test("follows a Cluster from the URL of any node", async ({ onTestFinished: onEnd }) => {
    const cluster = await startCluster();
    onEnd(() => cluster.stop());
    const outcomes: Outcome[] = [];
    for (const port of cluster.ports) {
      outcomes.push(await attempt(`redis://127.0.0.1:${port}`, { cluster: true }));
    }
    // One key, on the node that its slot is given to.
    expect(outcomes).toEqual([{ remaining: 9 }, { remaining: 8 }, { remaining: 7 }]);
  });

  test("rejects where no node of the Cluster is there, and says why", async () => {
    const gone = await startRedis();
    await gone.stop();
    const { code, text } = await attempt(gone.url, { cluster: true });
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toContain(`127.0.0.1:${gone.port} with ${name}: `);
    // ioredis hides from its caller what the operating system said.
    expect(text).toMatch(name === "redis" ? /ECONNREFUSED/ : /Connection is closed/);
  });

  test("says what a node refuses where the URL is a Cluster's, without printing the password", async () => {
    const { code, text } = await attempt(withLogin(`:${WRONG}`), { cluster: true });
    expect(code).toBe("STORE_UNAVAILABLE");
    expect(text).toMatch(/WRONGPASS/);
    expect(text).not.toContain(WRONG);
    const alone = await attempt(withLogin(`:${escaped}`), { cluster: true });
    expect(alone.code).toBe("STORE_UNAVAILABLE");
    expect(alone.text).toMatch(/cluster support disabled/);
  });

  test("speaks TLS, and checks the server's certificate", async ({ onTestFinished: onEnd }) => {
    const tls = await startTlsRedis();
    onEnd(tls.stop);
    expect(await attempt(tls.url, { tls: { ca: tls.ca } })).toEqual({ remaining: 9 });
    // `tls` says the same as the scheme.
    const plain = tls.url.replace("rediss:", "redis:");
    expect(await attempt(plain, { tls: { ca: tls.ca } })).toEqual({ remaining: 8 });

    const untrusted = await attempt(tls.url);
    expect(untrusted.code).toBe("STORE_UNAVAILABLE");
    expect(untrusted.text).toMatch(/self-signed certificate/);
    const withoutTls = await attempt(plain);
    expect(withoutTls.code).toBe("STORE_UNAVAILABLE");
  });
});

test("connect without a client says what to install", async () => {
  const built = await builtWith();
  onTestFinished(built.remove);
  const { code, text } = await elsewhere(built, "redis://127.0.0.1:6379");
  expect(code).toBe("INVALID_OPTION");
  expect(text).toContain('"npm install redis" or "npm install ioredis"');
});

test.each([
  "",
  "localhost:6379",
  `http://:${WRONG}@localhost`,
  `redis://:${WRONG}@`,
  `redis://:${WRONG}@localhost:99999`,
  `redis://:${WRONG}@localhost/mydb`,
  `redis://:${WRONG}@localhost/1e1`,
  `redis://:${WRONG}@localhost/-1`,
  `redis://:${WRONG}%zz@localhost`,
])("connect refuses %j without repeating it", async (url) => {
  const { code, text } = await here(url);
  expect(code).toBe("INVALID_OPTION");
  expect(text).toContain("url: ");
  expect(text).not.toContain(WRONG);
});

test.each([
  ["tls", "yes"],
  ["cluster", 1],
  ["username", 7],
  ["password", Number.NaN],
  ["timeout", 100],
])("connect refuses the option %s: %j", async (option, value) => {
  const outcome = here("redis://127.0.0.1:6379", { [option]: value });
  expect(await outcome).toMatchObject({ code: "INVALID_OPTION" });
  expect((await outcome).text).toContain(`${option}: `);
});

test("a store closes the connection that it opened, and no other", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const mine = await clients["node-redis"]({ url: redis.url });
  const clientCount = async (): Promise<number> =>
    String(await mine.command("CLIENT", "LIST"))
      .trim()
      .split("\n").length;

  const opened = await RedisStore.connect(redis.url);
  await expect.poll(clientCount).toBe(2);
  await opened.close();
  await opened.close();
  await expect.poll(clientCount).toBe(1);

  await new RedisStore({ client: mine.client }).close();
  expect(await mine.command("PING")).toBe("PONG");
  await mine.close();
});

test("a store that connected itself hears of permits that become free", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const store = await RedisStore.connect(redis.url);
  onTestFinished(() => store.close());
  await using semaphore = new Semaphore({ limit: 1, store, name: "heard", timeout: "30s" });
  const held = await semaphore.acquire("k");
  const next = semaphore.acquire("k", { maxWait: "2m" });
  const operator = await clients.ioredis({ url: redis.url });
  const channels = (): Promise<unknown> => operator.command("PUBSUB", "CHANNELS", "sluice:wake:*");
  await expect.poll(channels).toHaveLength(1);
  await held.release();
  await (await next).release();
  await operator.close();
});
