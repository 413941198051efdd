/** Where the service listens, and what it takes there: TLS, sockets, limits, and what is no request. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { beforeAll, afterAll, describe, expect, onTestFinished, test } from "vitest";
import { tmpdir } from "node:os";
import { openGrpc } from "../../src/serve/grpc/index.js";
import type { Service } from "../../src/serve/service.js";
import { makeCertificate } from "../support/certificate.js";
import { askerOf, type Flags, startService, temporaryFolder } from "../support/service.js";

const document = {
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "fixed-window", limit: 1e6, window: "24h" },
    },
  ],
} as const;

let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-tls-"));
  for (const name of ["one", "other"]) {
    makeCertificate(file(`${name}.key`), file(`${name}.pem`));
  }
  writeFileSync(file("empty"), "");
  const locked = ["ec", "-in", file("one.key"), "-aes128", "-passout", "pass:hunter2"];
  execFileSync("openssl", [...locked, "-out", file("locked.key")], { stdio: "ignore" });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("TLS", () => {
  test("is spoken on ports, by version 1.2 at least, and not on Unix sockets", async () => {
    const path = join(temporaryFolder(), "s.sock");
    const listen = `127.0.0.1:0,unix:${path}`;
    const { addresses } = await startService(document, {
      listen,
      tlsCert: file("one.pem"),
      tlsKey: file("one.key"),
    });
    expect(addresses[0]).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const { port } = new URL(addresses[0] as string);
    const status = (maxVersion?: "TLSv1.1"): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const ca = readFileSync(file("one.pem"));
        const options = { host: "127.0.0.1", port, path: "/healthz", ca, agent: false as const };
        const old = { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
        request({ ...options, ...(maxVersion && { ...old, maxVersion }) }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
    expect(await status()).toBe(200);
    await expect(status("TLSv1.1")).rejects.toThrow(/protocol version|unsupported protocol/i);
    expect((await askerOf(`unix:${path}`)("/healthz")).status).toBe(200);
    await expect(askerOf(`http://127.0.0.1:${port}`)("/healthz")).rejects.toThrow(
      /socket hang up|ECONNRESET|Parse Error/,
    );
  });

  test.each([
    ["one.pem", undefined, "tlsCert and tlsKey go together"],
    [undefined, "one.key", "tlsCert and tlsKey go together"],
    ["one.pem", "none.key", "none.key cannot be read: ENOENT"],
    ["none.pem", "one.key", "none.pem cannot be read: ENOENT"],
    ["one.key", "one.pem", "tlsCert: FOLDER/one.key holds no certificate in PEM"],
    ["empty", "one.key", "tlsCert: FOLDER/empty holds no certificate in PEM"],
    ["one.pem", "one.pem", "tlsKey: FOLDER/one.pem holds no private key in PEM"],
    ["one.pem", "locked.key", "tlsKey: FOLDER/locked.key holds no private key in PEM, or one"],
    ["one.pem", "other.key", "FOLDER/other.key is not the key of the certificate FOLDER/one.pem"],
  ])("of %s and %s is refused, and the file named", async (cert, key, why) => {
    const flags: Flags = {
      ...(cert !== undefined && { tlsCert: file(cert) }),
      ...(key !== undefined && { tlsKey: file(key) }),
    };
    const words = why.replaceAll("FOLDER", folder);
    await expect(startService(document, flags)).rejects.toThrow(words);
    const { rules, tokens, settings } = (await startService(document)).service;
    const tls = { settings: { ...settings, grpc: "127.0.0.1:0", ...flags }, rules, tokens };
    const asked = tls as unknown as Service;
    await expect(openGrpc(asked)).rejects.toThrow(words);
  });
});

test("two ports answer alike", async () => {
  const { addresses } = await startService(document, { listen: "127.0.0.1:0,127.0.0.1:0" });
  const [one, other] = addresses.map((address) => askerOf(address));
  expect(new Set(addresses).size).toBe(2);
  await one?.("/v1/consume", { rule: "api", key: "ann" });
  const seen = await other?.("/v1/peek", { rule: "api", key: "ann", cost: 0 });
  expect(seen?.body).toMatchObject({ remaining: 999_999 });
});

test.each([
  [{ listen: "abc" }, "listen: abc is none of host:port, [::]:port and unix:/path"],
  [{ listen: "127.0.0.1:0,127.0.0.1:70000" }, "listen: 127.0.0.1:70000 is none of"],
  [{ listen: "unix:s.sock" }, "listen: unix:s.sock is none of"],
] as const)("an address that is none is refused: %j", async (flags, why) => {
  await expect(startService(document, flags)).rejects.toThrow(why);
});

test.each(["abc", "70000", "127.0.0.1", "unix:s"])(
  "gRPC at %s is refused by its own name",
  async (grpc) => {
    const { service } = await startService(document, { grpc });
    await expect(openGrpc(service)).rejects.toThrow(/^grpc: .* is none of host:port/);
  },
);

test("a Unix socket has the permissions that the umask leaves", async () => {
  const before = process.umask(0o117);
  onTestFinished(() => void process.umask(before));
  const path = join(temporaryFolder(), "s.sock");
  await startService(document, { listen: `unix:${path}` });
  expect(statSync(path).mode & 0o777).toBe(0o660);
});

test("more connections than there may be are closed at once, and those that are there serve on", async () => {
  const { addresses, ask } = await startService(document, { maxConnections: "2" });
  const port = Number(new URL(addresses[0] as string).port);
  const opened = await Promise.all(
    [1, 2].map(
      () =>
        new Promise<ReturnType<typeof connect>>((resolve) => {
          const socket = connect(port, "127.0.0.1", () => resolve(socket));
          onTestFinished(() => void socket.destroy());
        }),
    ),
  );
  await expect(ask("/healthz")).rejects.toThrow(/ECONNRESET|hang up/);
  const [first] = opened;
  const answer = new Promise((resolve) =>
    first?.once("data", (data) => resolve(String(data).slice(0, 12))),
  );
  first?.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await answer).toBe("HTTP/1.1 200");
  for (const socket of opened) socket.destroy();
  await expect
    .poll(() =>
      ask("/healthz").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
});

test.each([
  [{}, "timeout=75"],
  [{ idleTimeout: "20s" }, "timeout=20"],
] as const)("a connection is kept as long as the setting says: %j", async (flags, kept) => {
  const { ask } = await startService(document, flags);
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const { headers } = await ask("/healthz", undefined, { agent });
  expect(headers["keep-alive"]).toBe(kept);
});

test("an unused connection is closed when its time is over", async () => {
  const { addresses } = await startService(document, { idleTimeout: "100ms" });
  const port = Number(new URL(addresses[0] as string).port);
  const text = await answerTo(port, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(text).toMatch(/^HTTP\/1\.1 200 /);
});

/** What is answered to these bytes, until the connection ends. */
async function answerTo(port: number, ...parts: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  for (const part of parts) socket.write(part);
  await closed;
  return text;
}

describe("what is no request", () => {
  const BODY = '{"rule":"api","key":"smuggled"}';
  const SECOND = `POST /v1/consume HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
  const post = (body: string, ...fields: readonly string[]): string =>
    ["POST /v1/consume HTTP/1.1", "Host: a", ...fields, "", body].join("\r\n");

  test.each([
    [
      "two lengths",
      post(`{}${SECOND}`, "Content-Length: 2", `Content-Length: ${2 + SECOND.length}`),
    ],
    [
      "a length and chunks",
      post(`0\r\n\r\n${SECOND}`, "Content-Length: 2", "Transfer-Encoding: chunked"),
    ],
    [
      "chunks and a length",
      post(`0\r\n\r\n${SECOND}`, "Transfer-Encoding: chunked", "Content-Length: 2"),
    ],
    ["chunked chunks", post(`0\r\n\r\n${SECOND}`, "Transfer-Encoding: chunked, identity")],
    ["another encoding", post(`0\r\n\r\n${SECOND}`, "Transfer-Encoding: xchunked")],
    ["a length with a sign", post(`{}${SECOND}`, "Content-Length: +2")],
    ["a length in hex", post(`{}${SECOND}`, "Content-Length: 0x2")],
    ["a blank before the colon", post(`{}${SECOND}`, "Content-Length : 2")],
    ["a field on two lines", post(`{}${SECOND}`, "X-A: 1", " Content-Length: 2")],
    ["a bare line feed in a field", post(`{}${SECOND}`, "X-A: 1\nContent-Length: 2")],
    ["a chunk with a bad length", post(`0x0\r\n\r\n${SECOND}`, "Transfer-Encoding: chunked")],
    [
      "a chunk that is longer than it says",
      post(`1\r\n{}\r\n0\r\n\r\n${SECOND}`, "Transfer-Encoding: chunked"),
    ],
  ])("%s: nothing behind it is decided", async (_, bytes) => {
    const { addresses, ask } = await startService(document);
    const text = await answerTo(Number(new URL(addresses[0] as string).port), bytes);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    const { body } = await ask("/v1/peek", { rule: "api", key: "smuggled", cost: 0 });
    expect(body).toMatchObject({ remaining: 1e6 });
  });

  test("a head that is too long is 431, whatever it is long of", async () => {
    const { addresses, ask } = await startService(document, { maxHeaders: "2048" });
    const port = Number(new URL(addresses[0] as string).port);
    for (const head of [
      `GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(4000)}\r\n\r\n`,
      `GET /healthz?${"x".repeat(4000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(2000)}\r\n`,
    ]) {
      const text = await answerTo(port, head);
      expect(text).toMatch(/^HTTP\/1\.1 431 /);
      expect(text).toContain('"reason":"headers-too-large"');
    }
    const reply = await ask("/healthz", undefined, { headers: { "x-long": "x".repeat(1500) } });
    expect(reply.status).toBe(200);
  });

  test("a body may be as long as the setting says, and no byte longer", async () => {
    const { ask } = await startService(document, { maxBody: "2048" });
    const text = JSON.stringify({ rule: "api", key: "ann" });
    const longest = text + " ".repeat(2048 - text.length);
    expect((await ask("/v1/consume", longest)).status).toBe(200);
    const refused = await ask("/v1/consume", `${longest} `);
    expect(refused).toMatchObject({ status: 413, body: { reason: "body-too-large" } });
    const chunked = { headers: { "transfer-encoding": "chunked" } };
    expect((await ask("/v1/consume", longest, chunked)).status).toBe(200);
    expect((await ask("/v1/consume", `${longest} `, chunked)).status).toBe(413);
  });

  test.each([
    ["a head that stops", "POST /v1/consume HTTP/1.1\r\nHost: a\r\nX-A: "],
    ["a body that stops", post("{", "Content-Length: 9")],
    ["a chunk that stops", post("5\r\n{", "Transfer-Encoding: chunked")],
  ])("%s is 408 when its time is over", async (_, bytes) => {
    const { addresses } = await startService(document, { requestTimeout: "100ms" });
    const text = await answerTo(Number(new URL(addresses[0] as string).port), bytes);
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
  });
});
