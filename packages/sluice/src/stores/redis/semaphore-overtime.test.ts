/** What becomes of a release that waits in this process for longer than its deadline. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FREES_PERMITS, OUTCOME, SEMAPHORE_VERBS } from "../../algorithms/semaphore/kernel.js";
import { Semaphore } from "../../semaphore/semaphore.js";
import type { Permit } from "../../semaphore/permit.js";
import type { RunScript } from "./clients/client.js";
import { RedisStore } from "./redis-store.js";

const TIMEOUT_MS = 250;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

interface ScriptCall {
  readonly verbs: readonly number[];
  readonly answer: () => void;
}

/** A server that grants everything, but answers only when the test says so. */
class Server {
  readonly calls: ScriptCall[] = [];
  isHeld = false;
  #fence = 0;

  readonly run: RunScript = (_sha, _source, _keys, args) => {
    const [verbs, reply] = this.#decide(args);
    if (!this.isHeld) return Promise.resolve(reply);
    return new Promise((resolve) => {
      const answer = (): void => {
        resolve(reply);
      };
      this.calls.push({ verbs, answer });
    });
  };

  /** The verb of each entry, and the reply. */
  #decide(args: readonly (string | number | Buffer)[]): [number[], number[]] {
    const verbs: number[] = [];
    const reply = [1e15];
    for (let at = 1; at < args.length; ) {
      const verb = Number(args[at + 1]);
      const count = Number(args[at + 7]);
      reply.push(0, -1, 1000, 0, 0);
      for (let i = 0; i < count; i++) {
        verbs.push(verb);
        this.#fence += 1;
        const outcome = FREES_PERMITS.has(verb) ? OUTCOME.released : OUTCOME.held;
        reply.push(outcome, this.#fence, 1e15 + 30e6);
      }
      at += 8 + 2 * count;
    }
    return [verbs, reply];
  }
}

/** A semaphore with `count` permits, whose server does not answer any more. */
async function heldUp(
  count: number,
  options = {},
): Promise<{ server: Server; semaphore: Semaphore; permits: readonly Permit[] }> {
  const server = new Server();
  const store = new RedisStore({ client: server.run, maxInFlight: 1 });
  const semaphore = new Semaphore({ limit: 1000, store, timeout: TIMEOUT_MS, ...options });
  const permits = await Promise.all(Array.from({ length: count }, () => semaphore.acquire("k")));
  server.isHeld = true;
  return { server, semaphore, permits };
}

/** Lets the time pass, and what waits for the loop's next turns run. */
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await turns();
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

async function endOf(semaphore: Semaphore, server: Server): Promise<void> {
  server.isHeld = false;
  for (const { answer } of server.calls) answer();
  await semaphore.close();
}

const RELEASE = SEMAPHORE_VERBS.release;

describe("a release that waits behind a batch under way for longer than its deadline", () => {
  test("is sent all the same, and ends by its reply", async () => {
    const { server, semaphore, permits } = await heldUp(100);
    const first = permits[0]?.release().catch((error: unknown) => error);
    await turns();
    expect(server.calls.map(({ verbs }) => verbs)).toEqual([[RELEASE]]);
    const others = Promise.all(permits.slice(1).map((permit) => permit.release()));
    await turns();
    expect(server.calls, "the others wait").toHaveLength(1);
    await pass(TIMEOUT_MS + 1);
    expect(server.calls.flatMap(({ verbs }) => verbs)).toHaveLength(permits.length);
    for (const { answer } of server.calls.slice(1)) answer();
    await others;
    expect(await first, "it was sent, and had no answer").toMatchObject({ code: "STORE_TIMEOUT" });
    await endOf(semaphore, server);
  });

  test("rejects where there is no reply, in two deadlines at most", async () => {
    const { server, semaphore, permits } = await heldUp(2);
    void permits[0]?.release().catch(() => {});
    await turns();
    const release = permits[1]?.release().catch((error: unknown) => error);
    await pass(TIMEOUT_MS + 1);
    expect(server.calls).toHaveLength(2);
    await pass(TIMEOUT_MS);
    expect(await release).toMatchObject({ code: "STORE_TIMEOUT", sent: true });
    await endOf(semaphore, server);
  });

  test("does not come before what was asked for its key earlier", async () => {
    const { server, semaphore, permits } = await heldUp(2);
    void permits[0]?.release().catch(() => {});
    await turns();
    const before = semaphore.setLimit("k", 5).catch((error: unknown) => error);
    const release = permits[1]?.release();
    await turns();
    await pass(TIMEOUT_MS - 1);
    const after = semaphore.setLimit("k", 6).catch((error: unknown) => error);
    await pass(1);
    // A command that was given up is not sent; later commands are sent together or wait.
    expect(await before).toMatchObject({ code: "STORE_TIMEOUT", sent: false });
    const [, ...later] = server.calls;
    expect(later.length).toBeGreaterThan(0);
    for (const { answer } of later) answer();
    await release;
    await endOf(semaphore, server);
    await after;
  });
});

test("permits that are being revoked are revoked, though that waits for longer than its deadline", async () => {
  const { server, semaphore } = await heldUp(0);
  const revoked = semaphore.reset("k");
  await turns();
  const inspected = semaphore.inspect("k").catch((error: unknown) => error);
  await turns();
  server.calls[0]?.answer();
  await turns();
  expect(server.calls, "what follows the list waits").toHaveLength(2);
  await pass(TIMEOUT_MS + 1);
  expect(server.calls[2]?.verbs[0]).toBe(SEMAPHORE_VERBS.revoke);
  server.calls[2]?.answer();
  expect(await revoked).toBeGreaterThan(0);
  await endOf(semaphore, server);
  await inspected;
});

test("a command that nobody owes is not sent once its deadline has passed", async () => {
  const { server, semaphore, permits } = await heldUp(1);
  void permits[0]?.release().catch(() => {});
  await turns();
  const asked = semaphore.inspect("k").catch((error: unknown) => error);
  await turns();
  await pass(TIMEOUT_MS + 1);
  expect(await asked).toMatchObject({ code: "STORE_TIMEOUT", sent: false });
  expect(server.calls).toHaveLength(1);
  await endOf(semaphore, server);
});

test("a release that waits in this process is sent though the breaker opens meanwhile", async () => {
  const { server, semaphore, permits } = await heldUp(7, { breaker: { failures: 1 } });
  void permits[0]?.release().catch(() => {});
  await turns();
  await pass(TIMEOUT_MS / 2);
  const releases = Promise.all(permits.slice(1).map((permit) => permit.release()));
  await turns();
  // The first is not answered in time, and opens the breaker.
  await pass(TIMEOUT_MS / 2 + 1);
  await pass(TIMEOUT_MS / 2);
  for (const { answer } of server.calls.slice(1)) answer();
  await releases;
  await endOf(semaphore, server);
});
