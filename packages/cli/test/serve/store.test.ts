/** The service's store over the wire: library processes behind it, and who may ask. */
import { join } from "node:path";
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import { RemoteStore, type RemoteStoreOptions } from "sluice/remote";
import { expect, onTestFinished, test } from "vitest";
import { startService, temporaryFolder } from "../support/service.js";

const document = {
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "token-bucket", limit: 4, period: "1h" },
    },
  ],
} as const;

const STORE = "store-token-of-tests";
const DECIDE = "decide-token-of-tests";
const SLUICE_TOKENS = `library store ${STORE};api decide,read,admin ${DECIDE}`;

const policy = tokenBucket({ limit: 4, period: "1h" });
const common = { policy, timeout: "60s", onStoreFailure: "throw", denyCache: false } as const;

function remoteAt(url: string, options: Partial<RemoteStoreOptions> = {}): RemoteStore {
  const store = new RemoteStore({ url, requestTimeout: "60s", ...options });
  onTestFinished(() => store.close());
  return store;
}

test("two libraries behind a service share one limit", async () => {
  const { addresses } = await startService(document, {}, { SLUICE_TOKENS });
  const limiters = [1, 2].map(() => {
    const store = remoteAt(addresses[0] as string, { token: STORE });
    return new RateLimiter({ ...common, store });
  });
  const asked = Array.from({ length: 20 }, (_, i) => {
    return (limiters[i % 2] as RateLimiter<RemoteStore>).consume("k");
  });
  const decisions = await Promise.all(asked);
  expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(4);
});

test("the scope store allows this and nothing else, and no other scope allows it", async () => {
  const { addresses, ask } = await startService(document, {}, { SLUICE_TOKENS });
  const url = addresses[0] as string;
  const as = (token?: string): Promise<unknown> =>
    new RateLimiter({ ...common, store: remoteAt(url, { token }) }).consume("k");
  await expect(as(DECIDE)).rejects.toThrow("status 403: the token lacks the scope store");
  await expect(as("not-a-token-of-anybody")).rejects.toThrow("401: it does not know the token");
  await expect(as()).rejects.toThrow("status 401");
  const headers = { authorization: `Bearer ${STORE}`, "content-type": "application/json" };
  const refused = await ask("/v1/consume", { rule: "api", key: "a" }, { headers });
  expect(refused.status).toBe(403);
  const old = await ask("/v1/store", { v: 7 }, { headers });
  expect([old.status, old.body["versions"]]).toEqual([400, [1]]);
});

test("takes a published document of a MiB, which is more than other bodies may be", async () => {
  const { ask } = await startService(document, { maxBody: "1024" });
  const headers = { "content-type": "application/json" };
  const publish = (length: number) => {
    const body = ["documents.publish", "n", "x".repeat(length), "digest", null, null, 0, 0];
    return ask("/v1/store", JSON.stringify({ v: 1, ask: body }), { headers });
  };
  expect((await publish(2 ** 20)).status).toBe(200);
  expect((await publish(2 ** 21)).status).toBe(413);
});

test("a service that ends lets go of those that wait for notices, on a Unix socket too", async () => {
  const socketPath = join(temporaryFolder(), "s.sock");
  const { service } = await startService(document, { listen: `unix:${socketPath}` });
  const store = remoteAt("http://localhost", { socketPath });
  const semaphore = new Semaphore({ limit: 1, store, timeout: "60s", leaseDuration: "1h" });
  const permit = await semaphore.acquire("k");
  const waiting = semaphore.acquire("k");
  let held = 0;
  while (held < 1) held = (await semaphore.inspect("k")).waiting;
  await permit.release();
  await (await waiting).release();
  const again = await semaphore.acquire("k");
  const waits = semaphore.acquire("k").catch(() => "closed");
  await service.end();
  await semaphore.close();
  expect(await waits).toBe("closed");
  expect(again.lost.aborted).toBe(true);
});
