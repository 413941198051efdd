/** Four real proxies ask a real service, and clients see what it decided: also where it is dead, slow or broken. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, askRaw, newAddress, type Reply, sightOf } from "./client.js";
import {
  APP_SAYS,
  type Health,
  type Lookout,
  type Neighbour,
  startApp,
  startLookout,
} from "./neighbours.js";
import { example, type Proxy, proxyPrograms, startProxy } from "./programs.js";
import { type RunningService, startService } from "./service.js";
import { SETUPS, type Variant } from "./setups.js";

const programs = await proxyPrograms();
const page = readFileSync(
  new URL("../../../../../docs/behind-a-proxy.md", import.meta.url),
  "utf8",
);

if (programs === undefined) {
  process.stdout.write(
    "The proxies come from Debian's archive, which this machine does not use: not tested.\n",
  );
}

const directory = mkdtempSync(join(tmpdir(), "sluice-proxies-"));
let service: RunningService;
let app: Neighbour;

beforeAll(async () => {
  app = await startApp();
  service = await startService(directory, {
    rules: [
      {
        name: "api",
        key: ["address"],
        policy: { algorithm: "token-bucket", limit: 2, period: "1d" },
      },
    ],
  });
});

afterAll(async () => {
  await app.stop();
  expect(await service.stop()).toBe(0);
  rmSync(directory, { recursive: true });
});

const HEALTHS: Readonly<Record<Exclude<Health, "well">, string>> = {
  silent: "is slow: no answer in 300 ms",
  resetting: "breaks the connection",
  failing: "answers 503",
  refusing: "answers 401: its token is wrong",
};

const ODD_PATHS = [
  "/a%0d%0aX-Sluice-Key:%20x",
  "/%22'()%3C%3E%5C%60%7B%7D%25",
  "/a%2Fb/%2e%2e/c;d=e",
  `/${"x".repeat(7900)}`,
];

/** What no client should send, and what is longer than most take. */
const BAD_PATHS = [
  `/"'<>|`,
  "/a\tb",
  "/a\u0001b",
  "/a b",
  "/a\rX-Sluice-Key: x",
  "*",
  "//a",
  `/${"x".repeat(12_000)}`,
  `/${"x".repeat(30_000)}`,
];

/** What clients saw, by situation and proxy. */
const sights = new Map<string, Map<string, Reply>>();

function note(situation: string, proxy: string, reply: Reply): void {
  const row = sights.get(situation) ?? new Map<string, Reply>();
  sights.set(situation, row.set(proxy, reply));
}

describe.runIf(programs !== undefined).each(Object.keys(SETUPS))("%s", (name) => {
  let lookout: Lookout;
  /** They wait for the service as long as it takes. */
  let open: Proxy;
  let closed: Proxy;
  /** They wait as long as their configuration says. */
  let hastyOpen: Proxy;
  let hastyClosed: Proxy;

  beforeAll(async () => {
    lookout = await startLookout(service.address);
    const start = (failing: Variant["failing"], patience: Variant["patience"]): Promise<Proxy> => {
      const setup = SETUPS[name]?.({ failing, patience });
      if (programs === undefined || setup === undefined) throw new Error(`no ${name}`);
      return startProxy(programs, setup, { service: lookout.address, app: app.address });
    };
    [open, closed, hastyOpen, hastyClosed] = await Promise.all([
      start("open", "long"),
      start("closed", "long"),
      start("open", "as it is"),
      start("closed", "as it is"),
    ]);
  });

  afterAll(async () => {
    await Promise.all([open, closed, hastyOpen, hastyClosed].map((proxy) => proxy.stop()));
    await lookout.stop();
  });

  const withHealth = async (health: Health, run: () => Promise<void>): Promise<void> => {
    lookout.health = health;
    try {
      await run();
    } finally {
      lookout.health = "well";
    }
  };

  test("passes what is allowed, and answers 429 to what is denied", async () => {
    for (const { own } of [open, closed]) {
      const from = newAddress();
      const first = await ask(own, from, "/items?page=2");
      note("allows", name, first);
      expect(first.status).toBe(200);
      expect(first.headers["ratelimit"]).toMatch(/^"api";r=1;t=\d+$/);
      expect(first.headers["ratelimit-policy"]).toBe('"api";q=2;w=86400');
      expect((await ask(own, from, "/items")).headers["ratelimit"]).toMatch(/^"api";r=0;t=\d+$/);
      const asked = app.seen.length;
      const denied = await ask(own, from, "/items");
      note("denies", name, denied);
      expect(denied.status).toBe(429);
      expect(denied.headers["ratelimit"]).toMatch(/^"api";r=0;t=\d+$/);
      expect(denied.headers["ratelimit-policy"]).toBe('"api";q=2;w=86400');
      expect(Number(denied.headers["retry-after"])).toBeGreaterThan(43_000);
      expect(denied.headers["content-type"]).toBe("application/problem+json");
      expect(denied.headers["cache-control"]).toBe("no-store");
      expect(JSON.parse(denied.body)).toMatchObject({ title: "Quota exceeded", status: 429 });
      expect(app.seen).toHaveLength(asked);
      // The service's own fields, and its second names, are nobody's business.
      for (const { headers } of [first, denied]) {
        expect(Object.keys(headers).filter((field) => field.startsWith("x-sluice"))).toEqual([]);
      }
    }
  });

  test("says of the request what the client cannot choose, and nothing more", async () => {
    const from = newAddress();
    const spoofed = {
      "X-Sluice-Key": "somebody-else",
      "X-Forwarded-For": "192.0.2.1",
      "X-Forwarded-Method": "OPTIONS",
      "X-Forwarded-Uri": "/free",
      "X-Original-Method": "OPTIONS",
      "X-Original-Uri": "/free",
      "X-Forwarded-Host": "other.example",
      Authorization: "Bearer of-the-client",
      Cookie: "session=of-the-client",
    };
    const began = lookout.seen.length;
    const replies: Reply[] = [];
    for (let i = 0; i < 3; i++) {
      replies.push(await ask(open.own, from, `/a?b=${i}`, { method: "DELETE", headers: spoofed }));
    }
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 429]);
    for (const [i, { method, headers, raw }] of lookout.seen.slice(began).entries()) {
      expect(method).toBe("GET");
      expect(headers).toMatchObject({
        "x-forwarded-for": from,
        "x-forwarded-method": "DELETE",
        "x-forwarded-uri": `/a?b=${i}`,
        "x-forwarded-host": "127.0.0.1",
      });
      const names = raw.filter((_, at) => at % 2 === 0).map((field) => field.toLowerCase());
      expect(names.filter((field, at) => names.indexOf(field) !== at)).toEqual([]);
      expect(names).not.toContain("authorization");
      expect(names).not.toContain("cookie");
      expect(names).not.toContain("x-sluice-key");
    }
    // To the application they are the client's.
    expect(app.seen.at(-1)?.headers).toMatchObject({ cookie: spoofed.Cookie });
    expect(app.seen.at(-1)?.headers["x-forwarded-for"]).toBe(from);
  });

  test.each(ODD_PATHS)("passes an odd path as it is, number %#", async (path) => {
    const from = newAddress();
    expect(await askRaw(open.own, from, `PROPFIND ${path}`)).toBe(200);
    const { headers } = lookout.seen.at(-1) ?? {};
    expect(headers).toMatchObject({
      "x-forwarded-for": from,
      "x-forwarded-method": "PROPFIND",
      "x-forwarded-uri": path,
    });
    expect(headers).not.toHaveProperty("x-sluice-key");
    expect(app.seen.at(-1)).toMatchObject({ method: "PROPFIND", url: path });
  });

  test("counts or refuses what is hardly a path", async () => {
    for (const path of BAD_PATHS) {
      const from = newAddress();
      const asked = lookout.seen.length;
      const passed = app.seen.length;
      for (let i = 0; i < 3; i++) {
        expect(await askRaw(open.own, from, `GET ${path}`)).toBeGreaterThanOrEqual(200);
      }
      expect(app.seen.length - passed).toBeLessThanOrEqual(2);
      for (const { headers } of lookout.seen.slice(asked)) {
        expect(headers["x-forwarded-for"]).toBe(from);
        expect(headers).not.toHaveProperty("x-sluice-key");
      }
    }
  });

  test("keeps bodies for the application", async () => {
    const post = { method: "POST", body: "of the client" };
    const passed = await ask(open.own, newAddress(), "/orders", post);
    expect(passed).toMatchObject({ status: 200, body: `${APP_SAYS}: of the client` });
    expect(lookout.seen.at(-1)).toMatchObject({ method: "GET", body: "" });
    await withHealth("resetting", async () => {
      const { status, body } = passed;
      expect(await ask(open.own, newAddress(), "/orders", post)).toMatchObject({ status, body });
    });
  });

  test("leaves the application's own refusals and failures alone", async () => {
    for (const [path, status] of [
      ["/forbidden", 403],
      ["/failing", 500],
    ] as const) {
      const before = app.seen.length;
      const reply = await ask(open.own, newAddress(), path);
      expect(reply.status).toBe(status);
      expect(reply.body).toContain(APP_SAYS);
      expect(reply.headers["ratelimit"]).toBeDefined();
      expect(app.seen).toHaveLength(before + 1);
    }
    // A broken application is no reason to ask it twice.
    for (const body of ["of the client", ""]) {
      const before = app.seen.length;
      const { status } = await ask(open.own, newAddress(), "/broken", { method: "POST", body });
      expect(status).toBe(502);
      expect(app.seen).toHaveLength(before + 1);
    }
  });

  test("without a decision it lets everything pass, or nothing, as it is told", async () => {
    const both = async (
      situation: string,
      proxies: readonly [Proxy, Proxy],
    ): Promise<readonly number[]> => {
      const from = newAddress();
      const replies: Reply[] = [];
      for (const [i, { own }] of proxies.entries()) {
        const reply = await ask(own, from, "/");
        note(`${situation}; fail ${i === 0 ? "open" : "closed"}`, name, reply);
        replies.push(reply);
      }
      return replies.map(({ status }) => status);
    };
    await lookout.die();
    expect(await both("is dead", [hastyOpen, hastyClosed])).toEqual([200, 503]);
    await lookout.revive();
    for (const [health, situation] of Object.entries(HEALTHS)) {
      await withHealth(health as Health, async () => {
        const isRefusing = health === "refusing";
        const proxies = isRefusing
          ? ([open, closed] as const)
          : ([hastyOpen, hastyClosed] as const);
        const began = performance.now();
        // What the proxy itself got wrong does not pass: it would go unnoticed.
        expect(await both(situation, proxies)).toEqual(isRefusing ? [503, 503] : [200, 503]);
        // Both have given it the time that it has.
        if (health === "silent") expect(performance.now() - began).toBeGreaterThan(2 * 290);
      });
    }
    // And as soon as it is back it decides again.
    const from = newAddress();
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await ask(open.own, from, "/")).status);
    expect(statuses).toEqual([200, 200, 429]);
  });
});

test.runIf(programs !== undefined)("the page has what clients saw", () => {
  const names = Object.keys(SETUPS);
  const tableOf = (cell: (reply: Reply) => string): string => {
    const lines = [...sights].map(([situation, row]) => [
      situation,
      ...[...row.values()].map(cell),
    ]);
    const all = [["Sluice", ...names], Array<string>(names.length + 1).fill("---"), ...lines];
    return all.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  };
  const table = tableOf(sightOf);
  process.stdout.write(`${table}\n\n${tableOf(({ ms }) => `${Math.round(ms)} ms`)}\n`);
  expect(page).toContain(table);
});

test.each([
  "nginx/sluice.conf",
  "caddy/Caddyfile",
  "haproxy/haproxy.cfg",
  "haproxy/sluice.lua",
  "apache/sluice.conf",
  "apache/sluice.lua",
])("the page has %s as it is", (path) => {
  expect(page).toContain(example(path));
});
