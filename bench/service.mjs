/**
 * `npm run build && node bench/service.mjs [--quick] [--page]`: what the service takes of the processor for a request,
 * beside a bare server of node:http that reads the same body and answers as many bytes and fields. The two servers run in
 * separate processes and are asked in turns, in random order; figures are medians over the rounds. With `--page` they are
 * printed as the tables of docs/service-capacity.md, with what each part of an answer takes.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, request as ask, Agent } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { consumeRulesNow, PolicySet } from "sluice/policies";
import { withServer } from "./server.mjs";
import { spread } from "./statistics.mjs";

const SELF = fileURLToPath(import.meta.url);
/** What is measured is the build. */
const BUILT = new URL("../packages/cli/dist/serve/", import.meta.url).href;
const GOAL = 1.4;
const CONNECTIONS = 16;
const quick = process.argv.includes("--quick");
const isPage = process.argv.includes("--page");
const rounds = quick ? 7 : isPage ? 15 : 31;
/** Until the compiler has done with both servers. */
const WARM_UP_ROUNDS = 3;

/** @type {import("sluice/policies").PoliciesDocument} */
const DOCUMENT = {
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "token-bucket", limit: 1000, period: "1m" },
    },
  ],
};

/** A process that serves until it is told to end, and says on request what it has taken of the processor. */
async function serve() {
  const [, , , role, url, folder] = process.argv;
  /** @type {string} */
  let address;
  if (role === "service") {
    const { openHttp } = /** @type {typeof import("../packages/cli/src/serve/http/index.js")} */ (
      await import(`${BUILT}http/index.js`)
    );
    const { readSettings } =
      /** @type {typeof import("../packages/cli/src/serve/read-settings.js")} */ (
        await import(`${BUILT}read-settings.js`)
      );
    const { Service } = /** @type {typeof import("../packages/cli/src/serve/service.js")} */ (
      await import(`${BUILT}service.js`)
    );
    const { serviceLog } = /** @type {typeof import("../packages/cli/src/serve/log.js")} */ (
      await import(`${BUILT}log.js`)
    );
    const policies = join(String(folder), "policies.json");
    const flags = { policies, listen: "127.0.0.1:0", maxBody: "1000000", storeTimeout: "30s" };
    const settings = await readSettings(url === "" ? flags : { ...flags, redis: url }, {});
    const service = await Service.open(
      settings,
      serviceLog("error", () => {}),
    );
    const [entrance] = await openHttp(service);
    address = String(entrance?.address);
  } else {
    const head = /** @type {string[]} */ (JSON.parse(String(process.env["BARE_HEAD"])));
    const length = Number(process.env["BARE_BYTES"]);
    const answer = Buffer.alloc(length, "x");
    const server = createServer((request, response) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        response.writeHead(200, head);
        response.end(answer);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const bound = server.address();
    address = `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`;
  }
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ us: user + system });
  });
  process.send?.({ address });
}

/**
 * @param {string} role
 * @param {Record<string, string>} env
 * @param {string[]} more
 */
async function started(role, env, more) {
  const child = fork(SELF, ["serve", role, ...more], { env: { ...process.env, ...env } });
  const [{ address }] = /** @type {[{ address: string }]} */ (await once(child, "message"));
  const cpuUs = async () => {
    child.send("cpu");
    const [{ us }] = /** @type {[{ us: number }]} */ (await once(child, "message"));
    return us;
  };
  const end = async () => {
    child.kill();
    await once(child, "exit");
  };
  return { address, cpuUs, end };
}

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

/**
 * @param {string} address
 * @param {string} path
 * @param {string} body
 * @returns {Promise<{ headers: import("node:http").IncomingHttpHeaders, bytes: number }>}
 */
function post(address, path, body) {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    const outgoing = ask(`${address}${path}`, { method: "POST", agent, headers }, (response) => {
      let bytes = 0;
      response.on("data", (/** @type {Buffer} */ chunk) => {
        bytes += chunk.length;
      });
      response.on("end", () => resolve({ headers: response.headers, bytes }));
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/**
 * CPU in µs a request, and the 99th percentile of what callers wait in ms.
 * @param {Awaited<ReturnType<typeof started>>} server
 * @param {string} path
 * @param {() => string} body
 * @param {number} count
 */
async function load(server, path, body, count) {
  const before = await server.cpuUs();
  /** @type {number[]} */
  const waits = [];
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      const beganMs = performance.now();
      await post(server.address, path, body());
      waits.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
  const us = ((await server.cpuUs()) - before) / count;
  waits.sort((a, b) => a - b);
  return { us, p99: waits[Math.floor(waits.length * 0.99)] ?? 0 };
}

const user = () => `u${Math.floor(Math.random() * 1000)}`;
const single = () => JSON.stringify({ rule: "api", key: user() });
const thousand = () =>
  JSON.stringify({ requests: Array.from({ length: 1000 }, () => ({ rule: "api", key: user() })) });

/**
 * @param {string} name
 * @param {string} url
 * @param {string} folder
 * @param {string} path
 * @param {() => string} body
 * @param {number} count
 */
async function measure(name, url, folder, path, body, count) {
  const service = await started("service", {}, [url, folder]);
  const { headers, bytes } = await post(service.address, path, body());
  const own = ["content-type", "content-length", "ratelimit", "ratelimit-policy"];
  const head = own.flatMap((field) =>
    headers[field] === undefined ? [] : [field, headers[field]],
  );
  const bare = await started(
    "bare",
    { BARE_HEAD: JSON.stringify(head), BARE_BYTES: `${bytes}` },
    [],
  );
  for (const server of [service, bare]) await load(server, path, body, WARM_UP_ROUNDS * count);
  /** @type {{ ratios: number[], served: number[], plain: number[], p99s: number[], bareP99s: number[] }} */
  const { ratios, served, plain, p99s, bareP99s } = {
    ratios: [],
    served: [],
    plain: [],
    p99s: [],
    bareP99s: [],
  };
  for (let round = 0; round < rounds; round++) {
    const order = Math.random() < 0.5 ? [service, bare] : [bare, service];
    /** @type {Map<unknown, { us: number, p99: number }>} */
    const found = new Map();
    for (const server of order) found.set(server, await load(server, path, body, count));
    const [a, b] = [found.get(service), found.get(bare)];
    if (a === undefined || b === undefined) continue;
    ratios.push(a.us / b.us);
    served.push(a.us);
    plain.push(b.us);
    p99s.push(a.p99);
    bareP99s.push(b.p99);
  }
  await service.end();
  await bare.end();
  const median = (/** @type {number[]} */ values) => spread(values).median;
  const ratio = median(ratios);
  const [us, bareUs] = [median(served).toFixed(1), median(plain).toFixed(1)];
  const [p99, bareP99] = [median(p99s).toFixed(1), median(bareP99s).toFixed(1)];
  console.log(
    isPage
      ? `| ${name} | ${us} | ${bareUs} | ${ratio.toFixed(2)} | ${p99} | ${bareP99} |`
      : `${name.padEnd(28)} ${us.padStart(8)} µs ${bareUs.padStart(8)} µs  ×${ratio.toFixed(2)}  p99 ${p99} ms, bare ${bareP99} ms`,
  );
  return ratio;
}

/** What the parts of an answer in memory take in a loop, in µs: one after another for single requests, and a decision of a batch. */
async function measureParts() {
  const built = (/** @type {string} */ name) => import(`${BUILT}${name}`);
  const { objectIn } = /** @type {typeof import("../packages/cli/src/serve/http/body.js")} */ (
    await built("http/body.js")
  );
  const { askedOf } = /** @type {typeof import("../packages/cli/src/serve/http/asked.js")} */ (
    await built("http/asked.js")
  );
  const { decided } = /** @type {typeof import("../packages/cli/src/serve/http/answer.js")} */ (
    await built("http/answer.js")
  );
  const { decisionsJson } =
    /** @type {typeof import("../packages/cli/src/serve/http/decision-json.js")} */ (
      await built("http/decision-json.js")
    );
  const rules = new PolicySet({ source: DOCUMENT });
  const asked = (/** @type {unknown} */ body) =>
    askedOf(/** @type {Record<string, unknown>} */ (body), rules);
  const bodies = Array.from({ length: 1000 }, () => Buffer.from(single()));
  const parsed = bodies.map(objectIn);
  const requests = parsed.map(asked);
  const decisions = await Promise.all(requests.map((request) => rules.consume(request)));
  const many = await rules.consumeMany(requests);
  const batchBody = Buffer.from(thousand());
  /** @type {readonly (readonly [string, number, () => unknown])[]} */
  const parts = [
    ["reads JSON", 1000, () => bodies.map(objectIn)],
    ["reads the request from it", 1000, () => parsed.map(asked)],
    ["decides", 1000, () => requests.map((request) => consumeRulesNow(rules, request))],
    ["writes the answer", 1000, () => decisions.map((each) => decided(each))],
    ["of a batch: reads JSON", 1000, () => objectIn(batchBody)],
    ["of a batch: decides", 1000, () => rules.consumeMany(requests)],
    ["of a batch: writes the answer", 1000, () => decisionsJson(many)],
  ];
  console.log("\n| part | µs |\n|---|---|");
  for (const [name, count, work] of parts) {
    /** @type {number[]} */
    const took = [];
    for (let round = 0; round < 60; round++) {
      const before = process.cpuUsage();
      await work();
      const used = process.cpuUsage(before);
      if (round >= 20) took.push((used.user + used.system) / count);
    }
    console.log(`| ${name} | ${spread(took).median.toFixed(1)} |`);
  }
  await rules.close();
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  writeFileSync(join(folder, "policies.json"), JSON.stringify(DOCUMENT));
  console.log(
    isPage
      ? "| | µs | bare, µs | ratio | p99, ms | bare, ms |\n|---|---|---|---|---|---|"
      : `${"".padEnd(28)}  service       bare   CPU a request, median of ${rounds} rounds`,
  );
  try {
    const ratio = await measure("consume, memory", "", folder, "/v1/consume", single, 2000);
    await withServer(async ({ url }) => {
      await measure("consume, Redis", url, folder, "/v1/consume", single, 1000);
      await measure("batch of 1,000, Redis", url, folder, "/v1/batch", thousand, 40);
    });
    await measure("batch of 1,000, memory", "", folder, "/v1/batch", thousand, 40);
    if (isPage) {
      await measureParts();
      return;
    }
    console.log(`goal ≤ ×${GOAL} for consume in memory: ${ratio <= GOAL ? "kept" : "MISSED"}`);
    process.exitCode = ratio <= GOAL ? 0 : 1;
  } finally {
    agent.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
}

await (process.argv[2] === "serve" ? serve() : main());
