/** Permits that are held elsewhere: handed over by a ticket, and renewed and released by it. */
import { expect, onTestFinished, test } from "vitest";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import { lendPermit, releaseLent, renewLent } from "./lent.js";
import { Semaphore } from "./semaphore.js";

function made(limit = 1) {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const semaphoreOf = (): Semaphore => {
    const semaphore = new Semaphore({ limit, store, leaseDuration: "9s" });
    onTestFinished(() => semaphore.close());
    return semaphore;
  };
  return { clock, semaphore: semaphoreOf(), other: semaphoreOf() };
}

test("a lent permit is held as long as somebody with its ticket renews it, whichever semaphore is asked", async () => {
  const { clock, semaphore, other } = made();
  const permit = await semaphore.acquire("k");
  const { ticket, fencingToken, expiresAtUs, leaseMs } = await lendPermit(permit);
  expect(fencingToken).toBe(permit.fencingToken);
  expect(leaseMs).toBe(9000);
  expect(expiresAtUs).toBe(clock.nowUs() + 9e6);
  for (let i = 0; i < 3; i++) {
    clock.advance(6000);
    expect(await renewLent(other, ticket)).toBe(clock.nowUs() + 9e6);
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
  }
  expect(await releaseLent(other, ticket)).toBe(true);
  expect(await releaseLent(semaphore, ticket)).toBe(false);
  expect(await renewLent(semaphore, ticket)).toBeUndefined();
  expect(await semaphore.tryAcquire("k")).toBeDefined();
});

test("this process renews it no more, and its release gives nothing back", async () => {
  const { clock, semaphore } = made();
  const permit = await semaphore.acquire("k");
  const { ticket } = await lendPermit(permit);
  expect(semaphore.stats().held).toBe(0);
  await permit.release();
  expect(await semaphore.tryAcquire("k")).toBeUndefined();
  clock.advance(9001);
  expect(permit.lost.aborted).toBe(false);
  expect(await renewLent(semaphore, ticket)).toBeUndefined();
  expect(await semaphore.tryAcquire("k")).toBeDefined();
});

test("a semaphore that closes leaves lent permits to their holders", async () => {
  const { semaphore, other } = made(2);
  const { ticket } = await lendPermit(await semaphore.acquire("k"));
  await semaphore.acquire("k");
  await semaphore.close();
  expect((await other.inspect("k")).held).toBe(1);
  expect(await releaseLent(other, ticket)).toBe(true);
  await expect(renewLent(semaphore, ticket)).rejects.toThrow("closed");
});

test("what is over cannot be lent", async () => {
  const { clock, semaphore } = made();
  const released = await semaphore.acquire("k");
  await released.release();
  await expect(lendPermit(released)).rejects.toThrow("released");
  const lent = await semaphore.acquire("k");
  const { ticket } = await lendPermit(lent);
  await expect(lendPermit(lent)).rejects.toThrow("released");
  await releaseLent(semaphore, ticket);
  const lost = await semaphore.acquire("k");
  clock.advance(60_000);
  await expect(lendPermit(lost)).rejects.toThrow("not renewed");
});

test.each([
  undefined,
  "",
  "none",
  "W10",
  Buffer.from('["a","b",0]').toString("base64url"),
  Buffer.from('["a","b c",1]').toString("base64url"),
  Buffer.from('["","b",1]').toString("base64url"),
  Buffer.from('["a","b",1,2]').toString("base64url"),
  "A".repeat(20_000),
])("refuses %j for a ticket", async (ticket) => {
  const { semaphore } = made();
  await expect(releaseLent(semaphore, ticket as string)).rejects.toThrow("the ticket of a lent");
});
