/** The list of changes: in which order, how many, and read again when a version came in between. */
import { MemoryStore } from "sluice";
import { type DocumentNote, PolicySet, PublishedPolicies } from "sluice/policies";
import { expect, onTestFinished, test, vi } from "vitest";
import { ChangeList } from "./changes.js";

const RULES = {
  rules: [
    { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 3, period: "1h" } },
  ],
} as const;

/** Of a published document whose history tells of these versions, ten seconds apart. */
async function listOf(history: () => Promise<readonly DocumentNote[]>): Promise<ChangeList> {
  const store = new MemoryStore();
  const source = new PublishedPolicies({ store });
  await source.publish(RULES, { expected: 0 });
  vi.spyOn(source, "history").mockImplementation(history);
  const policies = await PolicySet.open({ source, store });
  const list = new ChangeList(policies, () => {});
  onTestFinished(async () => {
    list.close();
    await policies.close();
    await store.close();
  });
  return list;
}

const notes = (...versions: readonly number[]): readonly DocumentNote[] =>
  versions.map((version) => ({
    version,
    atMs: version * 10_000,
    by: "ben",
    comment: undefined,
    digest: "",
  }));

const block = (atMs: number) =>
  ({ atMs, who: "ana", kind: "block", text: `at ${atMs}`, comment: undefined }) as const;

const timesOf = (list: ChangeList): readonly number[] =>
  list.list(() => true).map(({ atMs }) => atMs);

test("versions and what was done to keys are one list, the newest first", async () => {
  const list = await listOf(async () => notes(3, 2, 1));
  list.add(block(25_000));
  list.add(block(15_000));
  list.add(block(35_000));
  expect(await list.read()).toBe(true);
  expect(timesOf(list)).toEqual([35_000, 30_000, 25_000, 20_000, 15_000, 10_000]);
});

test("of more than fifty the newest are kept", async () => {
  const list = await listOf(async () => notes(3, 2, 1));
  await list.read();
  for (let i = 0; i < 60; i++) list.add(block(31_000 + i));
  expect(timesOf(list)).toEqual(Array.from({ length: 50 }, (_, i) => 31_059 - i));
});

test("a version that comes while the history is read is read after it, once for all who ask", async () => {
  const asked: ((history: readonly DocumentNote[]) => void)[] = [];
  const list = await listOf(() => new Promise((resolve) => void asked.push(resolve)));
  const first = list.read();
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  const others = [list.read(), list.read()];
  asked[0]?.(notes(1));
  await first;
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  asked[1]?.(notes(2, 1));
  expect(await Promise.all(others)).toEqual([true, true]);
  expect(asked).toHaveLength(2);
  expect(timesOf(list)).toEqual([20_000, 10_000]);
});

test("a store that is away leaves what was read last", async () => {
  let isAway = false;
  const list = await listOf(async () => {
    if (isAway) throw new Error("away");
    return notes(1);
  });
  expect(await list.read()).toBe(true);
  isAway = true;
  expect(await list.read()).toBe(false);
  expect(timesOf(list)).toEqual([10_000]);
});
