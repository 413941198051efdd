/** One server of `bench/grpc.mjs`, in a separate process: ours, one of grpc-js that answers a constant, or bare http2. */
import { createServer } from "node:http2";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { PolicySet } from "sluice/policies";
import { RedisStore } from "sluice/redis";

const [kind = "", url = ""] = process.argv.slice(2);
const BUILT = new URL("../../packages/cli/dist/serve/grpc/grpc-server.js", import.meta.url).href;
const PROTO = fileURLToPath(new URL("../../packages/cli/proto/rls.proto", import.meta.url));

/** What ours answers, so that as many bytes and fields are written by all. */
const ANSWER = {
  overallCode: "OK",
  statuses: [
    {
      code: "OK",
      currentLimit: { requestsPerUnit: 1e9, unit: "HOUR", name: "user" },
      limitRemaining: 999_999_999,
      durationUntilReset: { seconds: 3599, nanos: 123_000_000 },
    },
  ],
  responseHeadersToAdd: [
    { key: "RateLimit-Policy", value: '"user";q=1000000000;w=3600' },
    { key: "RateLimit", value: '"user";r=999999999;t=3599' },
  ],
  dynamicMetadata: {
    fields: {
      policy: { stringValue: "user" },
      reason: { stringValue: "ok" },
      source: { stringValue: "store" },
      shadow: { listValue: { values: [] } },
    },
  },
};

const definitions = loadSync(PROTO, { longs: Number, enums: String, defaults: true });
const service = /** @type {grpc.ServiceDefinition} */ (
  definitions["envoy.service.ratelimit.v3.RateLimitService"]
);

/** @returns {Promise<number>} */
async function startSluice() {
  const policy = /** @type {const} */ ({ algorithm: "fixed-window", limit: 1e9, window: "1h" });
  const store = url === "" ? undefined : await RedisStore.connect(url);
  const rules = new PolicySet({
    source: { rules: [{ name: "user", match: { domain: "edge" }, key: ["user"], policy }] },
    ...(store !== undefined && { store }),
    timeout: "30s",
  });
  const built =
    /** @type {{ grpcServer: (options: { rules: PolicySet }) => Promise<{ listen(place: object): Promise<number> }> }} */ (
      await import(BUILT)
    );
  const server = await built.grpcServer({ rules });
  return server.listen({ host: "127.0.0.1", port: 0 });
}

/** @returns {Promise<number>} */
async function startConstant() {
  const server = new grpc.Server({ "grpc.enable_channelz": 0 });
  server.addService(service, {
    /** @type {grpc.handleUnaryCall<object, object>} */
    ShouldRateLimit: (_, answer) => {
      answer(null, ANSWER);
    },
  });
  return new Promise((resolve, reject) => {
    const credentials = grpc.ServerCredentials.createInsecure();
    server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

/** @returns {Promise<number>} */
async function startHttp2() {
  const message = /** @type {NonNullable<typeof service[string]>} */ (
    service["ShouldRateLimit"]
  ).responseSerialize(ANSWER);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const frame = Buffer.concat([head, message]);
  const server = createServer();
  server.on("stream", (stream) => {
    stream.resume();
    stream.on("end", () => {
      stream.respond({ "content-type": "application/grpc+proto" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => {
        stream.sendTrailers({ "grpc-status": "0" });
      });
      stream.end(frame);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve(/** @type {import("node:net").AddressInfo} */ (server.address()).port);
    });
  });
}

const start = { sluice: startSluice, constant: startConstant, http2: startHttp2 }[kind];
const port = await start?.();
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuUs: user + system, rss: process.memoryUsage().rss });
});
process.on("disconnect", () => {
  process.exit();
});
process.send?.({ port });
