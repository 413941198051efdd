/** The other verbs over HTTP: batches, parts, refunds, penalties, starts ahead. */
import type { PoliciesDocument } from "sluice/policies";
import { expect, test } from "vitest";
import { type Ask, startService } from "../support/service.js";

const policy = { algorithm: "token-bucket", limit: 10, period: "1h" } as const;
const document: PoliciesDocument = {
  rules: [
    { name: "user", key: ["user"], policy },
    { name: "team", key: ["team"], policy: { ...policy, limit: 4 } },
  ],
};
const entries = { user: "ann", team: "blue" };

async function left(ask: Ask, rule: string, key: string): Promise<number> {
  return (await ask("/v1/peek", { rule, key, cost: 0 })).body["remaining"] as unknown as number;
}

test("a batch decides on each request for itself, or takes all or nothing", async () => {
  const { ask } = await startService(document);
  const requests = [
    { entries, cost: 3 },
    { rule: "team", key: "blue", cost: 2 },
  ];
  const together = await ask("/v1/batch", { requests, atomic: true });
  expect(together).toMatchObject({ status: 200, body: { allowed: false, atomic: true } });
  expect(await left(ask, "team", "blue")).toBe(4);
  const apart = (await ask("/v1/batch", { requests })).body as unknown as {
    decisions: { allowed: boolean }[];
  };
  expect(apart.decisions.map(({ allowed }) => allowed)).toEqual([true, false]);
  expect(await left(ask, "user", "ann")).toBe(7);
});

test.each([
  ["none", { requests: [] }, /1 to 1000/],
  [
    "too many",
    { requests: Array.from({ length: 1001 }, () => ({ rule: "user", key: "a" })) },
    /1 to 1000/,
  ],
  ["one that is no object", { requests: [{ rule: "user", key: "a" }, 7] }, /requests\[1\]/],
  ["one with another field", { requests: [{ rule: "user", key: "a", x: 1 }] }, /"x"/],
  ["atomic by a text", { requests: [{ rule: "user", key: "a" }], atomic: "yes" }, /atomic/],
  ["another field", { requests: [{ rule: "user", key: "a" }], y: 1 }, /"y"/],
])("a batch of %s is refused as a whole", async (_, body, detail) => {
  const { ask } = await startService(document);
  const reply = await ask("/v1/batch", body);
  expect(reply).toMatchObject({ status: 400, body: { reason: "invalid-request" } });
  expect(reply.body["detail"]).toMatch(detail);
  expect(await left(ask, "user", "a")).toBe(10);
});

test("a thousand requests go in one batch", async () => {
  const { ask } = await startService(document);
  const requests = Array.from({ length: 1000 }, (_, i) => ({ rule: "user", key: `u${i % 50}` }));
  const { body } = await ask("/v1/batch", { requests });
  const decisions = body["decisions"] as unknown as { allowed: boolean }[];
  expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(500);
});

test("a part of the cost is the least that all rules have", async () => {
  const { ask } = await startService(document);
  const asked = { entries, cost: 6 };
  expect((await ask("/v1/consume-up-to", asked)).body).toMatchObject({ granted: 4, rule: "team" });
  const second = await ask("/v1/consume-up-to", asked);
  expect(second).toMatchObject({ status: 429, body: { granted: 0 } });
  expect(await left(ask, "user", "ann")).toBe(6);
});

test("a settlement with an idempotency key gives back once", async () => {
  const { ask } = await startService(document);
  await ask("/v1/consume", { entries, cost: 4 });
  const asked = { entries, reserved: 4, actual: 3, idempotencyKey: "job-8" };
  expect((await ask("/v1/settle", asked)).body).toMatchObject({ refunded: 1 });
  expect((await ask("/v1/settle", asked)).body).toMatchObject({ refunded: 0 });
  expect([await left(ask, "user", "ann"), await left(ask, "team", "blue")]).toEqual([7, 1]);
});

test("a refund with an idempotency key comes back once", async () => {
  const { ask } = await startService(document);
  await ask("/v1/consume", { entries, cost: 4 });
  const asked = { entries, amount: 2, idempotencyKey: "job-7" };
  expect((await ask("/v1/refund", asked)).body).toMatchObject({ refunded: 2 });
  expect((await ask("/v1/refund", asked)).body).toMatchObject({ refunded: 0 });
  const header = { headers: { "idempotency-key": "job-7" } };
  const again = await ask("/v1/refund", { entries, amount: 2 }, header);
  expect(again.body).toMatchObject({ refunded: 0 });
  expect([await left(ask, "user", "ann"), await left(ask, "team", "blue")]).toEqual([8, 2]);
  // A bucket that has refilled a little meanwhile takes that much less.
  const most = (await ask("/v1/refund", { entries, amount: 9 })).body["refunded"];
  expect(Number(most)).toBeGreaterThan(1);
  expect(Number(most)).toBeLessThanOrEqual(2);
});

test("an idempotency key that the body and the head say differently is none", async () => {
  const { ask } = await startService(document);
  await ask("/v1/consume", { entries, cost: 4 });
  const header = { headers: { "idempotency-key": "one" } };
  for (const [path, asked] of [
    ["/v1/refund", { amount: 1 }],
    ["/v1/settle", { reserved: 2, actual: 1 }],
  ] as const) {
    const two = await ask(path, { entries, ...asked, idempotencyKey: "two" }, header);
    expect(two).toMatchObject({ status: 400, body: { detail: /Idempotency-Key differ/ } });
    const one = await ask(path, { entries, ...asked, idempotencyKey: "one" }, header);
    expect(one.status).toBe(200);
  }
});

test("what came back is the least that came back of a rule", async () => {
  const { ask } = await startService(document);
  await ask("/v1/consume", { rule: "user", key: "ann", cost: 6 });
  await ask("/v1/consume", { rule: "team", key: "blue", cost: 1 });
  const { body } = await ask("/v1/refund", { entries, amount: 3 });
  expect(body["refunded"]).toBeLessThanOrEqual(1);
  const back = (body["rules"] as unknown as { refunded: number }[]).map(({ refunded }) => refunded);
  expect(back).toEqual([3, body["refunded"]]);
});

test("settling gives the rest back, or takes what is missing", async () => {
  const { ask } = await startService(document);
  const one = { rule: "user", key: "ann" };
  await ask("/v1/consume", { ...one, cost: 5 });
  await ask("/v1/settle", { ...one, reserved: 5, actual: 4.7 });
  expect(await left(ask, "user", "ann")).toBe(5);
  await ask("/v1/settle", { ...one, reserved: 0.3, actual: 0 });
  await ask("/v1/settle", { ...one, reserved: 4.4, actual: 8 });
  expect(await left(ask, "user", "ann")).toBe(2);
  const keyed = { ...one, reserved: 1, actual: 2, idempotencyKey: "a" };
  expect((await ask("/v1/settle", keyed)).body["detail"]).toMatch(/only when units are given back/);
  for (const wrong of [
    { reserved: 1 },
    { reserved: "1", actual: 1 },
    { reserved: 0.0001, actual: 0 },
  ]) {
    expect((await ask("/v1/settle", { ...one, ...wrong })).status).toBe(400);
  }
});

test("a penalty goes into debt", async () => {
  const { ask } = await startService(document);
  const one = { rule: "user", key: "ann" };
  expect((await ask("/v1/penalize", { ...one, amount: 12 })).body).toMatchObject({ remaining: 0 });
  expect((await ask("/v1/consume", one)).body["retryAfterMs"]).toBeGreaterThan(2 * 360e3);
  expect((await ask("/v1/penalize", { ...one, amount: -1 })).status).toBe(400);
  expect((await ask("/v1/penalize", { ...one, amount: 1, cost: 1 })).status).toBe(400);
});

test.each([1e308, 1e9 + 1, 0.0005, -1, null, "1"])(
  "an amount of %j is refused by its name",
  async (amount) => {
    const { ask } = await startService(document);
    for (const path of ["/v1/penalize", "/v1/refund"]) {
      const { status, body } = await ask(path, { rule: "user", key: "ann", amount });
      expect([status, body["detail"]]).toEqual([
        400,
        "amount must be a number of units from 0 to 1,000,000,000 in whole thousandths",
      ]);
    }
  },
);

test("a start ahead is promised, and given back by its ticket, to another service too", async () => {
  const { ask } = await startService(document);
  await ask("/v1/consume", { entries, cost: 4 });
  const start = await ask("/v1/reserve", { entries, maxWait: "1h" });
  expect(start).toMatchObject({ status: 200, body: { allowed: true } });
  expect(start.body["delayMs"]).toBeGreaterThan(890e3);
  const refused = await ask("/v1/reserve", { entries, maxWait: "10s" });
  expect(refused).toMatchObject({ status: 429, headers: { "content-type": /problem/ } });
  const { ticket } = start.body;
  expect((await ask("/v1/cancel", { ticket })).body).toEqual({ cancelled: true });
  expect((await ask("/v1/cancel", { ticket: `${String(ticket)}x` })).status).toBe(400);
  expect((await ask("/v1/cancel", { ticket, x: 1 })).status).toBe(400);
  expect((await ask("/v1/cancel", {})).status).toBe(400);
  expect(await left(ask, "user", "ann")).toBe(6);
});

test("the mode is switched for this process, and shown", async () => {
  const { ask } = await startService(document);
  const big = { rule: "user", key: "ann", cost: 11 };
  expect((await ask("/v1/mode", { mode: "shadow" })).body).toMatchObject({ mode: "shadow" });
  expect((await ask("/v1/consume", big)).body).toMatchObject({ allowed: true });
  expect((await ask("/v1/mode", { mode: null })).body).toMatchObject({ mode: "enforce" });
  expect((await ask("/v1/consume", big)).body).toMatchObject({ reason: "too-costly" });
  for (const wrong of [{}, { mode: "enforced" }, { mode: "off", x: 1 }]) {
    expect((await ask("/v1/mode", wrong)).status).toBe(400);
  }
  const { body } = await ask("/v1/policies");
  expect(body["document"]).toEqual(document);
});
