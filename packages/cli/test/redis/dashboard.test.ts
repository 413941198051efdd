/** Two processes on one Redis, as one dashboard shows them. */
import { randomUUID } from "node:crypto";
import { PolicySet, PublishedPolicies, ruleKeyId } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { expect, inject, onTestFinished, test } from "vitest";
import { openBoard, RULES } from "../support/board.js";

test("two processes are one: numbers, keys by their ids, and a change after one poll", async () => {
  const name = `board-${randomUUID().slice(0, 8)}`;
  const processes = await Promise.all(
    [1, 2].map(async (which) => {
      const store = await RedisStore.connect(inject("redisUrl"));
      const source = new PublishedPolicies({ store, name });
      if (which === 1) await source.publish(RULES, { expected: 0 });
      return { store, source };
    }),
  );
  const boards = [];
  for (const { store, source } of processes) {
    const rules = await PolicySet.open({ source, store, namespace: name, timeout: "30s" });
    onTestFinished(async () => {
      await rules.close();
      await store.close();
    });
    boards.push(openBoard(rules, { report: name, auth: () => "admin" }));
  }
  const [here, there] = boards as [(typeof boards)[0], (typeof boards)[0]];
  for (const { state } of boards) await state();
  const entries = { user: "ann" };
  for (let i = 0; i < 10; i++) await (i % 2 === 0 ? here : there).rules.consume({ entries });

  await expect
    .poll(async () => {
      const { seconds, scope } = await here.state();
      const sum = (count: "asked" | "allowed" | "denied"): number =>
        seconds.reduce((total, each) => total + each[count], 0);
      return [sum("asked"), sum("allowed"), sum("denied"), scope.kind, scope.reporting];
    })
    .toEqual([10, 3, 7, "all-processes", 2]);
  const { topDenied, stores } = await here.state();
  const id = ruleKeyId(here.rules, { rule: "api", entries });
  expect(topDenied).toEqual([{ rule: "api", id, atLeast: 7, atMost: 7 }]);
  expect(stores[0]).toMatchObject({ name: "redis", parts: [{ part: "store", breaker: "closed" }] });

  // A third process has seen no call of it, and has nothing but the id.
  const other = openBoard(there.rules, { report: name, reports: false, auth: () => "admin" });
  const blocked = await other.ask("api/key", { rule: "api", id, change: "block", for: "1h" });
  expect(blocked.body).toMatchObject({ rules: [{ id, isBlocked: true }] });
  expect((await here.rules.peek({ entries })).reason).toBe("blocked");
  const override = { rule: "api", id, change: "override", override: "exempt" };
  expect((await other.ask("api/key", override)).status).toBe(409);
  await other.ask("api/key", { rule: "api", id, change: "reset" });
  expect((await here.rules.peek({ entries })).remaining).toBe(3);

  const text = JSON.stringify(RULES).replace('"limit":3', '"limit":2');
  await here.ask("api/publish", { text, base: 1, how: "now" });
  await expect.poll(() => there.rules.version).toBe(2);
  expect((await there.rules.peek({ entries })).limit).toBe(2);
  await there.ask("api/rollback", { to: 1, base: 2 });
  await expect.poll(() => here.rules.document.rules[0]?.policy).toMatchObject({ limit: 3 });
});
