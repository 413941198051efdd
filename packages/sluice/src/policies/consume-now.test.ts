/** What a store inside the process decides at once is what the same calls come to that are awaited. */
import { describe, expect, onTestFinished, test } from "vitest";
import { Random } from "../core/random.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import type { PoliciesDocument, PolicyRule } from "./document.js";
import { PolicySet } from "./policy-set.js";
import { consumeRulesNow } from "./rules-verbs.js";
import { FailingStore } from "../../test/support/failing-store.js";
import { randomDocument, randomRequest } from "../../test/support/rules-model.js";
import { runs } from "../../test/support/runs.js";

const hourly = (limit: number): PolicyRule["policy"] => {
  return { algorithm: "fixed-window", limit, window: "1h" };
};

function made(source: PoliciesDocument, store = new MemoryStore({ clock: new ManualClock() })) {
  const rules = new PolicySet({ store, source });
  onTestFinished(() => rules.close());
  return rules;
}

const TWO: PoliciesDocument = {
  rules: [
    { name: "user", key: ["user"], policy: hourly(3) },
    { name: "team", key: ["team"], policy: hourly(2), candidate: { policy: hourly(1) } },
  ],
};
const ann = { entries: { user: "ann", team: "blue" } };

describe("at once", () => {
  test("two rules and a candidate are decided without a promise", async () => {
    const rules = made(TWO);
    const answer = consumeRulesNow(rules, ann);
    expect(answer).not.toBeInstanceOf(Promise);
    expect(await answer).toMatchObject({ allowed: true, atomic: true, remaining: 1 });
  });

  // A signal, though it never fires, makes a call one that is awaited.
  test.each([false, true])("as one after another, listeners: %s", async (isHeard) => {
    const { signal } = new AbortController();
    const met = { denied: 0, shadowed: 0, overridden: 0, several: 0 };
    for (let run = 0; run < runs(40); run++) {
      const random = new Random(run);
      const document = randomDocument(random);
      const [now, later] = [made(document), made(document)];
      const heard: unknown[][] = [[], []];
      [now, later].forEach((rules, i) => {
        if (!isHeard) return;
        for (const kind of ["decision", "denial"] as const) {
          rules.events.on(kind, (event) => {
            const { durationMs: _, ...told } = event as { durationMs?: number };
            heard[i]?.push(told);
          });
        }
      });
      for (let i = 0; i < 25; i++) {
        const request = randomRequest(random);
        const answer = consumeRulesNow(now, request);
        expect(answer).not.toBeInstanceOf(Promise);
        const decision = await answer;
        expect(decision).toEqual(await later.consume({ ...request, signal }));
        met.denied += Number(!decision.allowed);
        met.shadowed += Number(decision.shadow !== undefined);
        met.overridden += Number(decision.override !== undefined);
        met.several += Number(decision.rules.length > 1);
      }
      expect(now.stats()).toEqual(later.stats());
      expect(heard[0]).toEqual(heard[1]);
    }
    for (const times of Object.values(met)) expect(times).toBeGreaterThan(10);
  });
});

test("what fails on the way at once is asked once more, and charges once", async () => {
  const store = new FailingStore({ clock: new ManualClock() });
  const rules = made(TWO, store);
  store.fails = 1;
  const answer = consumeRulesNow(rules, ann);
  expect(answer).toBeInstanceOf(Promise);
  expect(await answer).toMatchObject({ allowed: true, remaining: 1 });
  expect(rules.stats().allowed).toBe(2);
});

test("limiters behind a set have listeners only while the set has", () => {
  const rules = made(TWO);
  const [limiter] = rules.limiters;
  const isHeard = () => limiter?.events.to.decision !== undefined;
  expect(isHeard()).toBe(false);
  const [endOne, endOther] = [() => {}, () => {}].map((listener) =>
    rules.events.on("decision", listener),
  );
  expect(isHeard()).toBe(true);
  endOne?.();
  expect(isHeard()).toBe(true);
  endOther?.();
  expect(isHeard()).toBe(false);
  let isWanted = false;
  rules.events.on(
    "decision",
    () => {},
    () => isWanted,
  );
  expect(isHeard()).toBe(false);
  isWanted = true;
  expect(isHeard()).toBe(true);
});
