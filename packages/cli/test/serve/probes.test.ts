/** What machines look at, and how the service ends. */
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { askerOf, startService, temporaryFolder } from "../support/service.js";

const document = { version: 1, rules: [] };

test("is healthy and ready, and has metrics of the rules without a key", async () => {
  const { ask } = await startService({
    rules: [{ name: "api", key: ["user"], policy: { algorithm: "gcra", limit: 1, period: "1h" } }],
  });
  await ask("/v1/consume", { rule: "api", key: "ann-of-the-hills" });
  expect(await ask("/healthz")).toMatchObject({ status: 200, body: { status: "ok" } });
  expect(await ask("/readyz")).toMatchObject({ status: 200, body: { status: "ready", notes: [] } });
  const { text, headers } = await ask("/metrics");
  expect(headers["content-type"]).toContain("text/plain; version=0.0.4");
  const open = await ask("/metrics", undefined, {
    headers: { accept: "application/openmetrics-text; version=1.0.0" },
  });
  expect(open.headers["content-type"]).toContain("application/openmetrics-text");
  expect([headers["vary"], open.headers["vary"]]).toEqual(["Accept", "Accept"]);
  expect(text).toContain('sluice_policy_limit{limiter="sluice",policy="api"} 1');
  expect(text).not.toContain("ann-of-the-hills");
});

test.each([
  ["local", 200],
  ["open", 200],
  ["closed", 503],
  ["throw", 503],
] as const)("without its store is ready where the document says %s: %i", async (choice, status) => {
  const rules = [
    { name: "api", key: ["user"], policy: { algorithm: "gcra", limit: 1, period: "1h" } },
  ] as const;
  const choosing = { defaults: { onStoreFailure: choice }, rules };
  const { ask, lines } = await startService(choosing, { redis: "redis://:hunter2@127.0.0.1:1" });
  const ready = await ask("/readyz");
  expect(ready).toMatchObject({ status, body: { notes: ["store unreachable"] } });
  const consumed = await ask("/v1/consume", { rule: "api", key: "ann" });
  expect(consumed.status).toBe(status);
  if (choice === "throw") expect(consumed.body).toMatchObject({ reason: "store-unavailable" });
  if (status === 503) expect(consumed.headers).toHaveProperty("retry-after");
  expect(lines.join("")).toContain("store fails");
  expect(lines.join("")).not.toContain("hunter2");
});

test("is ready with a document that may be old, and says so", async () => {
  const { ask, path, service } = await startService({ rules: [] });
  writeFileSync(path, "{");
  await service.rules.reload();
  expect(await ask("/readyz")).toMatchObject({
    status: 200,
    body: { status: "ready", notes: ["policies may be stale"] },
  });
  writeFileSync(path, '{"rules":[]}');
  await expect
    .poll(async () => {
      await service.rules.reload();
      return (await ask("/readyz")).body["notes"];
    })
    .toEqual([]);
});

test("drains: not ready, then no new connections; what was taken is answered", async () => {
  const { service, ask, addresses, lines } = await startService(document, { drainDelay: "300ms" });
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => {
    agent.destroy();
  });
  const before = await ask("/healthz", undefined, { agent });
  expect(before.headers.connection).toBe("keep-alive");
  const { port } = new URL(addresses[0] as string);
  // A request of which half is there when the end begins.
  const half = request({
    port,
    path: "/v1/consume",
    method: "POST",
    headers: { "content-length": 14 },
  });
  const answered = new Promise<number | undefined>((resolve, reject) => {
    half.on("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    half.on("error", reject);
  });
  half.write('{"entries"');
  await ask("/healthz");
  const ended = service.end();
  const during = await ask("/readyz", undefined, { agent });
  expect(during).toMatchObject({ status: 503, body: { notes: ["draining"] } });
  expect(during.headers.connection).toBe("close");
  expect((await ask("/v1/consume", { entries: {} })).status).toBe(200);
  half.end(":{}}");
  expect(await answered).toBe(200);
  await ended;
  await expect(ask("/healthz")).rejects.toThrow("ECONNREFUSED");
  expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(
    expect.arrayContaining(["draining", "ended"]),
  );
});

test("gives up on a request that does not come to its end, when its time is over", async () => {
  const flags = { drainTimeout: "50ms", requestTimeout: "1h" };
  const { service, addresses, ask } = await startService(document, flags);
  const { port } = new URL(addresses[0] as string);
  const socket = connect(Number(port), "127.0.0.1");
  socket.write("POST /v1/consume HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");
  await ask("/healthz");
  const closed = new Promise((resolve) => socket.on("close", resolve).on("error", () => {}));
  await service.end();
  await closed;
});

test("leaves a file alone that is where its socket is to be", async () => {
  const path = join(temporaryFolder(), "notes.txt");
  writeFileSync(path, "mine");
  await expect(startService(document, { listen: `unix:${path}` })).rejects.toThrow("no socket");
  expect(readFileSync(path, "utf8")).toBe("mine");
});

test("listens on Unix sockets too, also where one was left behind", async () => {
  const path = join(temporaryFolder(), "s.sock");
  const flags = { listen: `127.0.0.1:0,unix:${path}` };
  const { addresses } = await startService(document, flags);
  expect(addresses[1]).toBe(`unix:${path}`);
  const ask = askerOf(`unix:${path}`);
  expect((await ask("/v1/consume", { entries: {} })).status).toBe(200);
  await expect(startService(document, flags)).rejects.toThrow("EADDRINUSE");
  rmSync(path);
});
