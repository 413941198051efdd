/**
 * `node bench/grpc.mjs [--rounds N] [--seconds S]`: requests a second of the service over gRPC, beside a server of grpc-js
 * that answers a constant, and beside bare http2. All are asked in turn, round by round; needs a build and a Redis server.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:http2";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { withServer } from "./server.mjs";
import { quantile, ratios, spread } from "./statistics.mjs";

const SERVER = fileURLToPath(new URL("grpc/server.mjs", import.meta.url));
const PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const IN_FLIGHT = 64;
const USERS = 1000;
const GOAL = 0.8;

const { values } = parseArgs({
  options: { rounds: { type: "string" }, seconds: { type: "string" } },
});
const rounds = Number(values.rounds ?? 7);
const roundMs = Number(values.seconds ?? 1.5) * 1e3;

/**
 * A request of one descriptor, in its frame.
 * @param {string} user
 */
function frameOf(user) {
  const text = (/** @type {number} */ field, /** @type {string} */ value) =>
    Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const entry = Buffer.concat([text(1, "user"), text(2, user)]);
  const descriptor = Buffer.concat([Buffer.from([0x0a, entry.length]), entry]);
  const message = Buffer.concat([
    text(1, "edge"),
    Buffer.from([0x12, descriptor.length]),
    descriptor,
  ]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const FRAMES = Array.from({ length: USERS }, (_, i) => frameOf(`user-${i}`));

/** @typedef {{ cpuUs: number, rss: number }} Usage */

class Contender {
  /** @param {string} name @param {readonly string[]} words */
  constructor(name, words) {
    this.name = name;
    /** @type {number[]} requests a second, round by round */
    this.rates = [];
    /** @type {number[]} µs of CPU a request */
    this.costs = [];
    /** @type {number[]} ms */
    this.waits = [];
    this.rss = 0;
    this.child = fork(SERVER, [...words]);
  }

  async ready() {
    const { port } = /** @type {{ port: number }} */ (await this.heard());
    this.session = connect(`http://127.0.0.1:${port}`);
    await once(this.session, "connect");
  }

  /** @returns {Promise<Usage>} */
  async usage() {
    this.child.send("usage");
    return /** @type {Usage} */ (await this.heard());
  }

  /** @returns {Promise<unknown>} */
  async heard() {
    const [message] = /** @type {[unknown]} */ (await once(this.child, "message"));
    return message;
  }

  /** @param {number} ms */
  async round(ms) {
    const before = await this.usage();
    const began = performance.now();
    let count = 0;
    const one = async () => {
      while (performance.now() - began < ms) {
        const sent = performance.now();
        await this.ask(FRAMES[count % USERS]);
        count += 1;
        if (count % 16 === 0) this.waits.push(performance.now() - sent);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    const tookMs = performance.now() - began;
    const { cpuUs, rss } = await this.usage();
    this.rates.push((count / tookMs) * 1e3);
    this.costs.push((cpuUs - before.cpuUs) / count);
    this.rss = rss;
  }

  /** @param {Buffer | undefined} frame @returns {Promise<void>} */
  ask(frame) {
    return new Promise((resolve, reject) => {
      const stream = /** @type {import("node:http2").ClientHttp2Session} */ (this.session).request({
        ":method": "POST",
        ":path": PATH,
        "content-type": "application/grpc+proto",
        te: "trailers",
      });
      let status = "";
      let bytes = 0;
      stream.on("trailers", (/** @type {Record<string, string | undefined>} */ fields) => {
        status = fields["grpc-status"] ?? "";
      });
      stream.on("data", (/** @type {Buffer} */ chunk) => {
        bytes += chunk.length;
      });
      stream.on("error", reject);
      stream.on("end", () => {
        if (status === "0" && bytes > 100) resolve();
        else reject(new Error(`${this.name} answered the status ${status}, ${bytes} bytes`));
      });
      stream.end(frame);
    });
  }

  end() {
    this.session?.destroy();
    this.child.disconnect();
  }
}

/** @param {{ median: number, min: number, max: number }} spreadOf @param {number} digits */
const show = ({ median, min, max }, digits) =>
  `${median.toFixed(digits)} [${min.toFixed(digits)}–${max.toFixed(digits)}]`;

const { server, result } = await withServer(async ({ url }) => {
  const contenders = [
    new Contender("Sluice, in memory", ["sluice"]),
    new Contender("Sluice, on Redis", ["sluice", url]),
    new Contender("grpc-js, a constant", ["constant"]),
    new Contender("bare http2, a constant", ["http2"]),
  ];
  await Promise.all(contenders.map((each) => each.ready()));
  for (const each of contenders) await each.round(roundMs);
  for (const each of contenders) {
    each.rates.length = 0;
    each.costs.length = 0;
    each.waits.length = 0;
  }
  for (let round = 0; round < rounds; round++) {
    // In turn from another one on, so that none is always first.
    for (let i = 0; i < contenders.length; i++) {
      await contenders[(round + i) % contenders.length]?.round(roundMs);
    }
  }
  for (const each of contenders) each.end();
  return contenders;
});

const [memory, , constant, bare] = /** @type {[Contender, Contender, Contender, Contender]} */ (
  /** @type {unknown} */ (result)
);
console.log(`${server}, node ${process.version}, ${rounds} rounds, ${IN_FLIGHT} in flight\n`);
console.log("| server | requests/s | × constant | × http2 | CPU µs/request | p50, p99 ms | MB |");
console.log("|---|---|---|---|---|---|---|");
for (const each of result) {
  const sorted = [...each.waits].sort((a, b) => a - b);
  const cells = [
    each.name,
    show(spread(each.rates), 0),
    show(ratios(each.rates, constant.rates), 2),
    show(ratios(each.rates, bare.rates), 2),
    show(spread(each.costs), 1),
    `${quantile(sorted, 0.5).toFixed(1)}, ${quantile(sorted, 0.99).toFixed(1)}`,
    (each.rss / 2 ** 20).toFixed(0),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
const reached = ratios(memory.rates, constant.rates).median;
const verdict = reached >= GOAL ? "reached" : "missed";
console.log(`\nGoal: at least ${GOAL} × a constant, in memory: ${reached.toFixed(2)}, ${verdict}.`);
