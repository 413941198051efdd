import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { VERBS } from "../../algorithms/decide.js";
import { ruleOf } from "../../algorithms/rule.js";
import { CrossSlotError, StoreUnavailableError, tokenBucket } from "../../index.js";
import type { StoreResult, StoreCall } from "../store.js";
import { SplitRetry } from "./split-retry.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const rule = ruleOf(tokenBucket({ limit: 10, period: "1s" }));
const call = (
  id: string,
  verb: StoreCall["verb"] = VERBS.consume,
  keyspace = { name: "s:p" },
): StoreCall => ({
  verb,
  blockUs: 0,
  maxWaitUs: 0,
  debits: [{ name: "p", rule, keyspace, id, cost: 1000 }],
});
const answer: StoreResult = { nowUs: 1, granted: 1000, debits: [] };
const SLOT = 7;

/** What was sent, as the identities of each batch; `fails` says which batches are answered by an error. */
function batches(fails: (ids: string) => string | Error | undefined, slot: number | undefined) {
  const sent: string[] = [];
  const outcomes = new Map<number, StoreResult | string>();
  const errors = new Map<number, Error>();
  const refused = new SplitRetry({
    send: (calls, settle) => {
      const ids = calls.map(({ debits }) => debits.map(({ id }) => id).join("")).join("");
      sent.push(ids);
      const error = fails(ids);
      const failure = typeof error === "string" ? new Error(error) : error;
      calls.forEach((_, i) => settle(i, failure ?? answer));
      return { left: [], settled: Promise.resolve() };
    },
    // The slot of an identity is its letter.
    slotsOf: ({ debits }) => [...new Set(debits.map(({ id }) => id.charCodeAt(0)))],
    isCluster: slot !== undefined,
  });
  return {
    refused,
    sent,
    outcomes,
    errors,
    send: (calls: readonly StoreCall[]) =>
      refused.send(slot, calls, (i, outcome) => {
        expect(outcomes.has(i)).toBe(false);
        outcomes.set(i, outcome instanceof Error ? outcome.message : outcome);
        if (outcome instanceof Error) errors.set(i, outcome);
      }).settled,
  };
}

const slots = (fails: (ids: string) => string | Error | undefined) => batches(fails, SLOT);

const TRY_AGAIN = "TRYAGAIN Multiple keys request during rehashing of slot";
const [a, b] = [call("a"), call("b")];

test("a batch goes as it is while the slot stands still", async () => {
  const { sent, outcomes, send } = slots(() => undefined);
  await send([a, b, a]);
  expect(sent).toEqual(["aba"]);
  expect(outcomes.size).toBe(3);
});

test.each([
  TRY_AGAIN,
  `Too many Cluster redirections. Last error: ReplyError: ${TRY_AGAIN}`,
  "Too many Cluster redirections. Last error: ReplyError: MOVED 7 127.0.0.1:6379",
  new Error("Too many Cluster redirections", { cause: new Error("ASK 7 127.0.0.1:6379") }),
])("a batch is taken apart by keys on %s, and so are the next ones for a while", async (error) => {
  const { sent, outcomes, send } = slots((ids) => (/ab|ba/.test(ids) ? error : undefined));
  await send([a, b, a]);
  expect(sent).toEqual(["aba", "aa", "b"]);
  expect([...outcomes.values()]).toEqual([answer, answer, answer]);
  outcomes.clear();
  await send([b, a]);
  expect(sent.slice(3)).toEqual(["b", "a"]);
  outcomes.clear();
  await vi.advanceTimersByTimeAsync(1001);
  await send([a]);
  await vi.advanceTimersByTimeAsync(1001);
  outcomes.clear();
  await send([a, call("c")]);
  expect(sent.at(-1)).toBe("ac");
});

test.each(["refund", "cancel"] as const)(
  "a %s goes apart from the other calls on its key",
  async (verb) => {
    const { sent, send } = slots((ids) => (ids.length > 2 ? TRY_AGAIN : undefined));
    await send([a, call("a", VERBS[verb]), a]);
    expect(sent).toEqual(["aaa", "aa", "a"]);
  },
);

test("what cannot be served yet is tried again, without being waited for, until it can", async () => {
  let isSplit = true;
  const { sent, outcomes, send } = slots(() => (isSplit ? TRY_AGAIN : undefined));
  await send([a]);
  expect(outcomes.size).toBe(0);
  await vi.advanceTimersByTimeAsync(100);
  expect(sent.length).toBeGreaterThan(3);
  expect(sent.length).toBeLessThan(10);
  isSplit = false;
  await vi.advanceTimersByTimeAsync(50);
  expect([...outcomes.values()]).toEqual([answer]);
  const { length } = sent;
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent.length).toBe(length);
});

test("what nobody waits for any more is not tried again, and told so", async () => {
  const { sent, outcomes, send } = slots(() => TRY_AGAIN);
  const given = call("g");
  await send([given]);
  given.abandoned = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toEqual(["g", "g"]);
  expect([...outcomes.values()]).toEqual([
    expect.stringContaining("not sent in time, and its caller no longer waited"),
  ]);
  expect(vi.getTimerCount()).toBe(0);
});

test.each([
  "Connection is closed.",
  "READONLY You can't write against a read only replica.",
  "CLUSTERDOWN The cluster is down",
  "ERR unknown key {TRYAGAIN it}",
  "Too many Cluster redirections. Last error: Error: Connection is closed.",
  "NOPERM this user has no permissions to run the 'evalsha' command",
  "ERR ACL failure in script: User u has no permissions to run the 'mget' command",
  "ERR of a key [CROSSSLOT NOPERM access a key]",
])("nothing is sent twice after %s", async (error) => {
  const { sent, outcomes, send } = slots(() => error);
  await send([a, b]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toEqual(["ab"]);
  expect([...outcomes.values()]).toEqual([error, error]);
});

test.each([
  "NOPERM this user has no permissions to access one of the keys used as arguments",
  "NOPERM No permissions to access a key",
  "ERR ACL failure in script: No permissions to access a key script: d0e, on @user_script:9.",
  "ERR ACL failure in script: User u has no permissions to access the 'other:p:{x}' key",
])("a key out of reach is known by %s", async (error) => {
  const bad = call("x", VERBS.consume, { name: "other:p" });
  const { outcomes, errors, send } = batches(
    (ids) => (ids.includes("x") ? error : undefined),
    undefined,
  );
  await send([a, bad]);
  expect(outcomes.get(0)).toEqual(answer);
  expect(errors.get(1)).toMatchObject({ code: "STORE_UNAVAILABLE", ofKey: true });
});

test("a batch of several keyspaces is taken apart by keyspace where one is out of reach, and so are the next ones", async () => {
  const bad = call("x", VERBS.consume, { name: "other:p" });
  const { sent, outcomes, errors, send } = batches(
    (ids) => (ids.includes("x") ? "NOPERM No permissions to access a key" : undefined),
    undefined,
  );
  await send([a, bad, b, bad]);
  expect(sent).toEqual(["axbx", "ab", "xx"]);
  expect([outcomes.get(0), outcomes.get(2)]).toEqual([answer, answer]);
  expect(errors.get(1)).toMatchObject({ code: "STORE_UNAVAILABLE", ofKey: true });
  expect(errors.get(3)?.message).toMatch(/may not access a key of other:p: NOPERM/);
  outcomes.clear();
  await send([bad, a]);
  expect(sent.slice(3)).toEqual(["x", "a"]);
  outcomes.clear();
  await vi.advanceTimersByTimeAsync(1001);
  await send([a, b]);
  expect(sent.at(-1)).toBe("ab");
});

test("a refusal for slots has calls sent by slot from then on", async () => {
  const { refused, sent, outcomes, send } = batches(
    (ids) =>
      new Set(ids).size > 1 ? "CROSSSLOT Keys in request don't hash to the same slot" : undefined,
    undefined,
  );
  await send([a, a]);
  expect(refused.isCluster).toBe(false);
  outcomes.clear();
  await send([a, b, a]);
  expect(refused.isCluster).toBe(true);
  expect(sent.slice(1)).toEqual(["aba", "aa", "b"]);
  expect([...outcomes.values()]).toEqual([answer, answer, answer]);
  outcomes.clear();
  await vi.advanceTimersByTimeAsync(5000);
  await send([b, a]);
  expect(sent.slice(4)).toEqual(["b", "a"]);
});

test("a call over several slots that is refused for it is told so, and no other", async () => {
  const over: StoreCall = { ...a, debits: [...a.debits, ...b.debits] };
  const { outcomes, errors, send } = batches(
    (ids) => (new Set(ids).size > 1 ? "Command failed: CROSSSLOT Keys in request" : undefined),
    undefined,
  );
  await send([a, over, b]);
  expect([outcomes.get(0), outcomes.get(2)]).toEqual([answer, answer]);
  expect(errors.get(1)).toBeInstanceOf(CrossSlotError);
});

test("one refusal after another is answered: by slots, then by keyspaces, then by keys", async () => {
  const bad = call("a", VERBS.consume, { name: "other:p" });
  const twin = call("a");
  const asked = new Map<string, number>();
  const { outcomes, errors, send } = batches((ids) => {
    const times = (asked.get(ids) ?? 0) + 1;
    asked.set(ids, times);
    if (ids.includes("b") && ids !== "b") return "CROSSSLOT Keys";
    const isOutOfReach = ids === "aaa" || (ids === "a" && times === 1);
    if (isOutOfReach) return "NOPERM No permissions to access a key";
    return ids === "aa" && times === 1 ? TRY_AGAIN : undefined;
  }, undefined);
  await send([a, bad, b, twin]);
  expect([0, 2, 3].map((i) => outcomes.get(i))).toEqual([answer, answer, answer]);
  expect(errors.get(1)).toMatchObject({ ofKey: true });
});

test("an error of ours is no refusal, whatever it says", async () => {
  const ours = new StoreUnavailableError("CROSSSLOT", { ofKey: true });
  const { sent, errors, send } = batches(() => ours, undefined);
  await send([a, b]);
  expect(sent).toEqual(["ab"]);
  expect([...errors.values()]).toEqual([ours, ours]);
});
