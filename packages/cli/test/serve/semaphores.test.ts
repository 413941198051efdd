/** Semaphores over HTTP: permits that are taken, waited for, renewed and released by their tickets, listed and ended. */
import { Agent, request } from "node:http";
import { Semaphore } from "sluice";
import { expect, onTestFinished, test } from "vitest";
import type { Service } from "../../src/serve/service.js";
import { startService } from "../support/service.js";

const document = { rules: [] };
const job = { semaphore: "jobs", key: "export", limit: 1, leaseDuration: "20s" };

/** How many are in line, as the store knows it. */
async function waitingIn({ store }: Service): Promise<number> {
  const semaphore = new Semaphore({ name: "jobs", limit: 1, store });
  const { waiting } = await semaphore.inspect("export");
  await semaphore.close();
  return waiting;
}

test("a permit is held until its ticket gives it back", async () => {
  const { ask } = await startService(document);
  const taken = await ask("/v1/semaphores/acquire", job);
  expect(taken).toMatchObject({ status: 200, body: { held: true, leaseMs: 20_000 } });
  const busy = await ask("/v1/semaphores/acquire", job);
  expect(busy).toMatchObject({ status: 429, body: { held: false } });
  expect(busy.headers["content-type"]).toBe("application/problem+json");
  const { ticket } = taken.body;
  const renewed = await ask("/v1/semaphores/renew", { ticket });
  expect(renewed.body).toMatchObject({ held: true });
  expect(renewed.body["expiresAtUs"]).toBeGreaterThanOrEqual(taken.body["expiresAtUs"] as never);
  expect((await ask("/v1/semaphores/release", { ticket })).body).toEqual({ released: true });
  expect((await ask("/v1/semaphores/release", { ticket })).body).toEqual({ released: false });
  expect((await ask("/v1/semaphores/renew", { ticket })).body).toEqual({ held: false });
  const next = await ask("/v1/semaphores/acquire", job);
  expect(BigInt(next.body["fencingToken"] as never)).toBeGreaterThan(
    BigInt(taken.body["fencingToken"] as never),
  );
});

test("the next in line gets a released permit, and a client that has gone gets none", async () => {
  const { service, ask, addresses } = await startService(document);
  const first = await ask("/v1/semaphores/acquire", job);
  const body = JSON.stringify({ ...job, maxWait: "60s" });
  const { port } = new URL(addresses[0] as string);
  const path = "/v1/semaphores/acquire";
  const leaving = request({ port, path, method: "POST", agent: false });
  leaving.on("error", () => undefined);
  leaving.end(body);
  await expect.poll(() => waitingIn(service)).toBe(1);
  const patient = ask(path, { ...job, maxWait: "60s" });
  await expect.poll(() => waitingIn(service)).toBe(2);
  leaving.destroy();
  await expect.poll(() => waitingIn(service)).toBe(1);
  await ask("/v1/semaphores/release", { ticket: first.body["ticket"] });
  expect(await patient).toMatchObject({ status: 200, body: { held: true } });
});

test("many requests on one connection leave nothing on it", async () => {
  const { ask } = await startService(document);
  const warnings: string[] = [];
  const note = ({ name }: Error): void => void warnings.push(name);
  process.on("warning", note);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => {
    process.off("warning", note);
    agent.destroy();
  });
  // Node warns of the 11th listener of a kind.
  for (let i = 0; i < 15; i++) {
    const key = `job-${i}`;
    const { status } = await ask("/v1/semaphores/acquire", { ...job, key }, { agent });
    expect(status).toBe(200);
  }
  expect(warnings).not.toContain("MaxListenersExceededWarning");
});

test("an end answers all who wait, and leaves permits to their holders", async () => {
  const { service, ask } = await startService(document);
  await ask("/v1/semaphores/acquire", job);
  const waiting = ask("/v1/semaphores/acquire", { ...job, maxWait: "60s" });
  await expect.poll(() => waitingIn(service)).toBe(1);
  await service.end();
  expect(await waiting).toMatchObject({ status: 503, body: { reason: "shutting-down" } });
});

test("another limit is taken up when nobody uses the old one", async () => {
  const { ask } = await startService(document);
  await ask("/v1/semaphores/acquire", job);
  expect((await ask("/v1/semaphores/acquire", { ...job, limit: 2 })).status).toBe(200);
});

test("a semaphore that somebody waits for makes no room for others, however many there are", async () => {
  const { service, ask } = await startService(document);
  const { body: taken } = await ask("/v1/semaphores/acquire", job);
  const waiting = ask("/v1/semaphores/acquire", { ...job, maxWait: "60s" });
  await expect.poll(() => waitingIn(service)).toBe(1);
  for (let i = 0; i < 1001; i += 77) {
    const others = Array.from({ length: 77 }, (_, k) => {
      return ask("/v1/semaphores/acquire", { ...job, semaphore: `other-${i + k}` });
    });
    expect((await Promise.all(others)).every(({ status }) => status === 200)).toBe(true);
  }
  await ask("/v1/semaphores/release", { ticket: taken["ticket"] });
  expect(await waiting).toMatchObject({ status: 200, body: { held: true } });
});

test("an operator sees who holds and who waits, and ends what is held", async () => {
  const { service, ask, lines } = await startService(document);
  const oneKey = { semaphore: "jobs", key: "export", limit: 1 };
  const { body: taken } = await ask("/v1/semaphores/acquire", job);
  const waiting = ask("/v1/semaphores/acquire", { ...job, maxWait: "60s" });
  await expect.poll(() => waitingIn(service)).toBe(1);
  expect(await ask("/v1/semaphores/list", oneKey)).toMatchObject({
    status: 200,
    body: {
      limit: 1,
      held: 1,
      waiting: 1,
      holders: [{ fencingToken: taken["fencingToken"], weight: 1, untilUs: taken["expiresAtUs"] }],
      waiters: [{ weight: 1 }],
    },
  });
  expect((await ask("/v1/semaphores/reset", oneKey)).body).toEqual({ ended: 1 });
  expect(lines.join("")).toContain('"semaphore reset","semaphore":"jobs"');
  const { ticket } = taken;
  expect((await ask("/v1/semaphores/renew", { ticket })).body).toEqual({ held: false });
  expect(await waiting).toMatchObject({ status: 200, body: { held: true } });
});

test.each([
  [{ limit: 1 }, /^key/],
  [{ key: "a" }, /^limit/],
  [{ key: "a", limit: 1, slot: 3 }, /^slot/],
  [{ key: "a", limit: 1, semaphore: 1 }, /must be a name/],
  [{ key: "a", limit: 1, weight: 1 }, /"weight" is no field/],
])("refuses %j where one key is meant", async (body, why) => {
  const { ask } = await startService(document);
  for (const path of ["/v1/semaphores/list", "/v1/semaphores/reset"]) {
    const reply = await ask(path, body);
    expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
    expect(reply.body["detail"]).toMatch(why);
  }
});

test.each([
  [{}, /^key|^limit/],
  [{ key: "a" }, /^limit/],
  [{ key: "a", limit: 1, weight: 2 }, /weight/],
  [{ key: "a", limit: 1, maxWait: "60001ms" }, /maxWait must be/],
  [{ key: "a", limit: 1, maxWait: -1 }, /maxWait must be/],
  [{ key: "a", limit: 1, leaseDuration: "1ms" }, /leaseDuration/],
  [{ key: "a", limit: 1, semaphore: "a b" }, /^name/],
  [{ key: "a", limit: 1, semaphore: 1 }, /must be a name/],
  [{ key: "a", limit: 1, limits: 1 }, /"limits" is no field/],
])("refuses %j", async (body, why) => {
  const { ask } = await startService(document);
  const reply = await ask("/v1/semaphores/acquire", body);
  expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
  expect(reply.body["detail"]).toMatch(why);
});

test.each([undefined, 7, "none", Buffer.from('["a",1,"1s","x"]').toString("base64url")])(
  "refuses %j for a ticket",
  async (ticket) => {
    const { ask } = await startService(document);
    for (const path of ["/v1/semaphores/renew", "/v1/semaphores/release"]) {
      expect(await ask(path, { ticket })).toMatchObject({ status: 400 });
    }
  },
);
