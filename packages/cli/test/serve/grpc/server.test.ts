/** The server around the rate limits: who may ask, health, limits on what comes in, deadlines, TLS, and its end. */
import { connect } from "node:net";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { PolicySet } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { grpcServer } from "../../../src/serve/grpc/grpc-server.js";
import { loadGrpc } from "../../../src/serve/grpc/load-grpc.js";
import { readTls, type ServerTls } from "../../../src/serve/tls.js";
import { Tokens } from "../../../src/serve/tokens.js";
import { makeCertificate } from "../../support/certificate.js";
import { temporaryFolder } from "../../support/service.js";
import { METHOD, RlsClient, startGrpc, wire } from "../../support/grpc.js";

const HEALTH = "/grpc.health.v1.Health/Check";
const policy = { algorithm: "fixed-window", limit: 1e6, window: "1h" } as const;
const document = { rules: [{ name: "user", key: ["user"], policy }] };
const request = {
  domain: "edge",
  descriptors: [{ entries: [{ key: "user", value: "ann" }] }],
};

const { status } = grpc;
const statusIn = (bytes: Buffer): number => bytes[1] ?? 0;

describe("tokens", () => {
  const tokens = Tokens.parse(
    "edge decide 0123456789abcdef-edge\nlooker read 0123456789abcdef-look",
  );

  test.each([
    [undefined, status.UNAUTHENTICATED],
    ["Bearer 0123456789abcdef-none", status.UNAUTHENTICATED],
    ["Bearer 0123456789abcdef-look", status.PERMISSION_DENIED],
    ["Bearer 0123456789abcdef-edge", status.OK],
  ])("%s", async (authorization, code) => {
    const { address, rules } = await startGrpc(document, { tokens });
    const client = new RlsClient(address);
    const metadata = authorization === undefined ? {} : { authorization };
    expect((await client.ask(request, { metadata })).code).toBe(code);
    const { remaining } = await rules.peek({ entries: { user: "ann" } });
    expect(remaining).toBe(code === status.OK ? 999_999 : 1e6);
    expect((await client.raw(HEALTH, Buffer.of(), statusIn)).answer).toBe(1);
  });
});

describe("health", () => {
  test("of the server, of the service, and of one that there is not", async () => {
    let isReady = true;
    const { address } = await startGrpc(document, { isReady: async () => isReady });
    const client = new RlsClient(address);
    const check = (name: string) => client.raw(HEALTH, wire.text(1, name), statusIn);
    const service = "envoy.service.ratelimit.v3.RateLimitService";
    expect([(await check("")).answer, (await check(service)).answer]).toEqual([1, 1]);
    isReady = false;
    expect([(await check("")).answer, (await check(service)).answer]).toEqual([2, 2]);
    expect((await check("nobody")).code).toBe(status.NOT_FOUND);
    const noMessage = Buffer.from([0x0a, 0xff]);
    expect((await client.raw(HEALTH, noMessage, statusIn)).code).toBe(status.NOT_FOUND);
  });

  test("is watched as it changes, until the server goes", async () => {
    let isReady = true;
    const { address, server } = await startGrpc(document, { isReady: async () => isReady });
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    onTestFinished(() => {
      client.close();
    });
    const watch = (name: string) =>
      client.makeServerStreamRequest(
        "/grpc.health.v1.Health/Watch",
        (bytes: Buffer) => bytes,
        statusIn,
        wire.text(1, name),
      );
    const seen: number[] = [];
    const ended = new Promise((resolve) => {
      const stream = watch("");
      stream.on("data", (value: number) => {
        seen.push(value);
        if (seen.length === 1) isReady = false;
        else if (seen.length === 2) isReady = true;
        else if (seen.length === 3) void server.close(10_000);
      });
      stream.on("status", resolve);
      stream.on("error", () => {});
    });
    const unknown: number[] = [];
    const other = watch("nobody").on("error", () => {});
    other.on("data", (value: number) => unknown.push(value));
    expect(await ended).toMatchObject({ code: status.OK });
    expect(seen).toEqual([1, 2, 1, 2]);
    expect(unknown).toEqual([3]);
  });
});

describe("what comes in", () => {
  test("a message that is too long is RESOURCE_EXHAUSTED, and the connection serves on", async () => {
    const { address } = await startGrpc(document, { maxMessage: 1024 });
    const client = new RlsClient(address);
    const long = { ...request, domain: "d".repeat(2000) };
    expect((await client.ask(long)).code).toBe(status.RESOURCE_EXHAUSTED);
    expect((await client.ask(request)).code).toBe(status.OK);
  });

  test("a method that there is not is UNIMPLEMENTED", async () => {
    const { address } = await startGrpc(document);
    const { code } = await new RlsClient(address).raw(`${METHOD}Now`, Buffer.of(), String);
    expect(code).toBe(status.UNIMPLEMENTED);
  });

  test("connections beyond the limit are closed, and those within it serve on", async () => {
    const { address } = await startGrpc(document, { maxConnections: 1 });
    const first = new RlsClient(address);
    expect((await first.ask(request)).code).toBe(status.OK);
    const second = await new RlsClient(address).ask(request);
    expect(second.code).toBe(status.UNAVAILABLE);
    expect((await first.ask(request)).code).toBe(status.OK);
  });

  test("whoever speaks no HTTP/2 is let go", async () => {
    const { address } = await startGrpc(document);
    const [host, port] = address.split(":");
    await new Promise((resolve) => {
      const socket = connect(Number(port), host, () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      socket.on("close", resolve);
      socket.on("error", () => {});
      socket.resume();
    });
    expect((await new RlsClient(address).ask(request)).code).toBe(status.OK);
  });
});

describe("a store that does not answer", () => {
  /** Nobody listens there. */
  const deadStore = () => new RedisStore({ url: "redis://127.0.0.1:1" });

  test.each([
    ["local", "OK"],
    ["open", "OK"],
    ["closed", "OVER_LIMIT"],
  ] as const)("is answered as the document says: %s", async (onStoreFailure, code) => {
    const store = deadStore();
    onTestFinished(() => store.close());
    const choosing = { ...document, defaults: { onStoreFailure } };
    const { address } = await startGrpc(choosing, { store });
    const called = await new RlsClient(address).ask(request);
    expect([called.code, called.answer?.overallCode]).toEqual([status.OK, code]);
  });

  test("is UNAVAILABLE where the document says throw", async () => {
    const store = deadStore();
    onTestFinished(() => store.close());
    const choosing = { ...document, defaults: { onStoreFailure: "throw" } } as const;
    const { address } = await startGrpc(choosing, { store });
    const client = new RlsClient(address);
    expect((await client.ask(request)).code).toBe(status.UNAVAILABLE);
    const twice = { ...request, descriptors: [...request.descriptors, ...request.descriptors] };
    expect((await client.ask(twice)).code).toBe(status.UNAVAILABLE);
  });
});

test("a deadline that is over is the client's, and the server serves on", async () => {
  const { address } = await startGrpc(document);
  const client = new RlsClient(address);
  await client.ask(request);
  const late = await Promise.all(
    Array.from({ length: 50 }, () => client.ask(request, { deadlineMs: 0 })),
  );
  expect(new Set(late.map(({ code }) => code))).toEqual(new Set([status.DEADLINE_EXCEEDED]));
  expect((await client.ask(request, { deadlineMs: 600_000 })).code).toBe(status.OK);
});

test("over TLS, and on a Unix socket", async () => {
  const folder = temporaryFolder();
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  makeCertificate(key, cert);
  const tls = (await readTls({ tlsCert: cert, tlsKey: key })) as ServerTls;
  const { address } = await startGrpc(document, { tls });
  const client = new RlsClient(address, grpc.credentials.createSsl(tls.cert));
  expect((await client.ask(request)).answer?.overallCode).toBe("OK");

  const rules = new PolicySet({ source: document });
  const server = await grpcServer({ rules });
  const path = join(folder, "grpc.sock");
  expect(await server.listen({ path })).toBe(0);
  const there = new RlsClient(`unix:${path}`);
  expect((await there.ask(request)).answer?.overallCode).toBe("OK");
  await server.close(0);
  await rules.close();
});

test("an end under load loses no request that was taken, and none is counted twice", async () => {
  const { address, server, rules } = await startGrpc(document);
  const clients = Array.from({ length: 4 }, () => new RlsClient(address));
  const codes: number[] = [];
  let ending: Promise<void> | undefined;
  await Promise.all(
    clients.map(async (client) => {
      for (let turn = 0; turn < 30; turn++) {
        const calls = Array.from({ length: 10 }, () => client.ask(request));
        if (codes.length > 300) ending ??= server.close(60_000);
        codes.push(...(await Promise.all(calls)).map(({ code }) => code));
      }
    }),
  );
  await ending;
  const [ok, late]: readonly number[] = [status.OK, status.UNAVAILABLE];
  const answered = codes.filter((code) => code === ok).length;
  // Whoever came too late was told so, and was not counted.
  expect(codes.every((code) => code === ok || code === late)).toBe(true);
  const { remaining } = await rules.peek({ entries: { user: "ann" } });
  expect(1e6 - remaining).toBe(answered);
  expect(answered).toBeGreaterThan(300);
  expect(answered).toBeLessThan(codes.length);
});

test("an idle connection does not hold up the end, and one that never speaks is closed", async () => {
  const { address, server } = await startGrpc(document);
  await new RlsClient(address).ask(request);
  const [host, port] = address.split(":");
  const silent = connect(Number(port), host).resume();
  await new Promise((resolve) => silent.once("connect", resolve));
  const closed = new Promise((resolve) => silent.once("close", resolve));
  await server.close(600_000);
  silent.destroy();
  await closed;
});

test("without its packages gRPC says what to install", async () => {
  const missing = Object.assign(new Error("gone"), { code: "ERR_MODULE_NOT_FOUND" });
  await expect(loadGrpc(() => Promise.reject(missing))).rejects.toThrow(
    /npm install @grpc\/grpc-js @grpc\/proto-loader/,
  );
  await expect(loadGrpc(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
});
