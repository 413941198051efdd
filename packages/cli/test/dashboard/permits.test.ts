/** Who holds and who waits for a semaphore's key, and the end of its permits, as the page asks for them. */
import { Semaphore } from "sluice";
import { keyId } from "sluice/audit";
import { PolicySet } from "sluice/policies";
import { expect, onTestFinished, test } from "vitest";
import type { AdminMessage } from "../../src/dashboard/audit.js";
import type { PermitsListed } from "../../src/dashboard/wire.js";
import { openBoard, RULES } from "../support/board.js";

function boardWith(access: "read" | "admin") {
  const rules = new PolicySet({ source: RULES });
  const semaphore = new Semaphore({ name: "jobs", limit: 1, store: rules.store });
  const changes: AdminMessage[] = [];
  const opened = openBoard(rules, {
    semaphores: [semaphore],
    auth: () => ({ access, who: "ana" }),
    onChange: (change) => changes.push(change),
  });
  onTestFinished(async () => {
    await semaphore.close();
    await rules.close();
  });
  return { ...opened, semaphore, changes };
}

/** Its keyspace, as reports name it. */
const { semaphore: JOBS } = new Semaphore({ name: "jobs", limit: 1 }).stats();
const ASKED = { semaphore: JOBS, key: "export" };

test("an admin lists the permits of a key and ends them, and that is on record", async () => {
  const { ask, state, semaphore, changes } = boardWith("admin");
  const permit = await semaphore.acquire("export");
  const next = semaphore.acquire("export");
  expect((await state()).semaphores).toMatchObject([{ semaphore: JOBS, canList: true }]);
  const { body } = await ask<PermitsListed>("api/permits", ASKED);
  const token = String(permit.fencingToken);
  expect(body).toMatchObject({ limit: 1, held: 1, waiting: 1, waiters: [{ weight: 1 }] });
  expect(body.holders).toMatchObject([{ fencingToken: token, weight: 1 }]);
  const [holder] = body.holders;
  expect((holder?.untilMs ?? 0) - (holder?.sinceMs ?? 0)).toBeCloseTo(30_000, -3);
  const ended = await ask("api/endpermits", { ...ASKED, comment: "it hangs" });
  expect(ended.body).toEqual({ ended: 1 });
  expect((await next).fencingToken).toBeGreaterThan(permit.fencingToken);
  expect(changes).toMatchObject([{ who: "ana", action: "reset", comment: "it hangs" }]);
  expect(changes[0]?.target).toBe(`${JOBS} ${keyId("export")}`);
  const { changes: shown } = await state();
  expect(shown[0]).toMatchObject({ who: "ana", kind: "reset", comment: "it hangs" });
  expect(shown[0]?.text).toBe(`ended 1 permit of ${JOBS} ${keyId("export")}`);
});

test("a reader lists permits and ends none", async () => {
  const { ask, semaphore } = boardWith("read");
  await semaphore.acquire("export");
  expect((await ask("api/permits", ASKED)).status).toBe(200);
  expect((await ask("api/endpermits", ASKED)).status).toBe(403);
  expect((await semaphore.inspect("export")).held).toBe(1);
});

test.each([
  [{ key: "export" }, 400],
  [{ semaphore: JOBS }, 400],
  [{ semaphore: "sluice:other", key: "export" }, 404],
  [{ ...ASKED, key: "\ud800" }, 400],
])("refuses %j", async (asked, status) => {
  const { ask } = boardWith("admin");
  expect((await ask("api/permits", asked)).status).toBe(status);
  expect((await ask("api/endpermits", asked)).status).toBe(status);
});
