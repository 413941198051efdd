/** Whatever bytes come, the service answers with the right status or lets go, and keeps nothing of them. */
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as grpc from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { Random } from "../../../sluice/test/support/random.js";
import { runs } from "../../../sluice/test/support/runs.js";
import { descriptorBytes, METHOD, requestBytes, RlsClient, startGrpc } from "../support/grpc.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** MB in use when nothing is left over. */
function heapMb(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

const policy = { algorithm: "fixed-window", limit: 100, window: "1h" } as const;
const document = {
  rules: [
    { name: "user", match: { domain: "edge" }, key: ["user"], policy, allowOverride: true },
    { name: "any", key: [], policy: { ...policy, limit: 1e9 } },
  ],
};

function randomBytes(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: random.int(0, most) }, () => random.int(0, 255)));
}

/** A request that may be right, with some of its bytes changed, left out or doubled. */
function randomBody(random: Random): Buffer {
  if (random.chance(0.1)) return randomBytes(random, 200);
  const descriptors = Array.from({ length: random.int(0, 4) }, () =>
    descriptorBytes(
      Object.fromEntries(
        Array.from({ length: random.int(0, 3) }, () => [
          random.pick(["user", "path", "domain", "__proto__", ""]),
          random.pick(["a", "b", "\u{1f600}", "", "x".repeat(300)]),
        ]),
      ),
      {
        ...(random.chance(0.3) && { hits: random.pick([0, 1, 7, 2 ** 31, 2n ** 64n - 1n]) }),
        isNegative: random.chance(0.2),
        ...(random.chance(0.3) && { limit: { per: random.int(0, 5000), unit: random.int(0, 9) } }),
      },
    ),
  );
  const domain = random.pick(["edge", "edge", "other", ""]);
  let body = requestBytes(domain, descriptors, random.pick([0, 0, 1, 2 ** 32 - 1]));
  for (let change = random.int(0, 3); change > 0 && body.length > 0; change--) {
    const at = random.int(0, body.length - 1);
    const kind = random.int(0, 2);
    if (kind === 0) body[at] = random.int(0, 255);
    else if (kind === 1) body = body.subarray(0, at);
    else body = Buffer.concat([body.subarray(0, at), body.subarray(at >> 1)]);
  }
  return body;
}

/** Runs `one` so often, some at a time. */
async function many(count: number, atOnce: number, one: () => Promise<void>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await one();
    }),
  );
}

function countIn<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

test(`bodies end with an answer, INVALID_ARGUMENT or too long, seed ${seed}`, async () => {
  const random = new Random(seed);
  const { address } = await startGrpc(document);
  const client = new RlsClient(address);
  const codes = new Map<number, number>();
  const one = async (): Promise<void> => {
    const { code } = await client.raw(METHOD, randomBody(random), (answer) => answer.length);
    countIn(codes, code);
  };
  const count = runs(70_000, 2000);
  await many(count / 2, 50, one);
  const beforeMb = heapMb();
  await many(count / 2, 50, one);
  expect(heapMb() - beforeMb).toBeLessThan(20);
  const { OK, INVALID_ARGUMENT } = grpc.status;
  expect([...codes.keys()].sort((a, b) => a - b)).toEqual([OK, INVALID_ARGUMENT]);
  expect(codes.get(OK)).toBeGreaterThan(count / 20);
  expect(codes.get(INVALID_ARGUMENT)).toBeGreaterThan(count / 20);
});

/** Words of grpc-js itself, for what is no gRPC; nothing of it reaches us. */
const LIBRARY_SAYS = /^(?:Failed to decompress message|Invalid grpc-timeout value)/;

/** Sends fields and bytes as they are; the status, and what it says. */
function sendFrames(
  session: ClientHttp2Session,
  random: Random,
): Promise<readonly [status: string, words: string]> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": random.pick(["POST", "POST", "POST", "GET"]),
      ":path": random.pick([METHOD, METHOD, METHOD, "/", "/grpc.health.v1.Health/Check"]),
      "content-type": random.pick(["application/grpc", "application/grpc+proto", "text/plain", ""]),
      ...(random.chance(0.2) && { "grpc-timeout": random.pick(["1S", "0n", "soon", "99999999H"]) }),
      ...(random.chance(0.2) && {
        "grpc-encoding": random.pick(["gzip", "deflate", "identity", "zst"]),
      }),
      ...(random.chance(0.1) && { authorization: "x".repeat(random.int(0, 2000)) }),
    });
    let said: readonly [string, string] = ["none", ""];
    const read = (fields: IncomingHttpHeaders): void => {
      const { "grpc-status": status, "grpc-message": words } = fields;
      if (typeof status !== "string") return;
      said = [status, typeof words === "string" ? decodeURIComponent(words) : ""];
    };
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("error", () => {});
    stream.on("close", () => {
      resolve(said);
    });
    stream.resume();
    const body = randomBody(random);
    const head = Buffer.alloc(5);
    head[0] = random.pick([0, 0, 0, 1, 255]);
    head.writeUInt32BE(random.chance(0.8) ? body.length : random.int(0, 2 ** 32 - 1), 1);
    const frame = Buffer.concat([head, body]);
    const sent = random.chance(0.8) ? frame : Buffer.concat([frame, frame]);
    if (random.chance(0.1)) stream.close(random.int(0, 13));
    else stream.end(random.chance(0.8) ? sent : sent.subarray(0, random.int(0, sent.length)));
  });
}

test(`frames end with a status that is not ours to explain, and the connection serves on, seed ${seed}`, async () => {
  const random = new Random(seed);
  const { address, rules } = await startGrpc(document);
  let session = connectHttp2(`http://${address}`);
  onTestFinished(() => {
    session.destroy();
  });
  const internal: string[] = [];
  const statuses = new Map<string, number>();
  const one = async (): Promise<void> => {
    if (session.closed || session.destroyed) {
      session = connectHttp2(`http://${address}`);
      session.on("error", () => {});
    }
    const [status, words] = await sendFrames(session, random);
    countIn(statuses, status);
    if (status === String(grpc.status.INTERNAL) && !LIBRARY_SAYS.test(words)) internal.push(words);
  };
  const count = runs(28_000, 1000);
  await many(count / 2, 20, one);
  const beforeMb = heapMb();
  await many(count / 2, 20, one);
  expect(heapMb() - beforeMb).toBeLessThan(20);
  expect(internal).toEqual([]);
  expect(statuses.get("0")).toBeGreaterThan(0);
  expect(statuses.size).toBeGreaterThan(2);
  expect(rules.stats().allowed).toBeGreaterThan(0);
});

test(`what is no HTTP/2 is let go, and others are served on, seed ${seed}`, async () => {
  const random = new Random(seed);
  // Whoever says nothing more is found out by a ping.
  const { address } = await startGrpc(document, { keepaliveMs: 300 });
  const [host = "", port = ""] = address.split(":");
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(Number(port), host, () => {
        const head = random.chance(0.5) ? preface : Buffer.of();
        socket.end(Buffer.concat([head, randomBytes(random, 400)]));
      });
      socket.resume();
      socket.on("error", () => {});
      socket.on("close", () => {
        resolve();
      });
    });
  await many(runs(2000, 100), 10, one);
  const client = new RlsClient(address);
  const entries = [{ key: "user", value: "ann" }];
  expect((await client.ask({ domain: "edge", descriptors: [{ entries }] })).code).toBe(0);
});
