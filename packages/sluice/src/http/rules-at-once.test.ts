/** Several rules of a store in the process are decided on a request at once, as those are that are awaited. */
import { expect, onTestFinished, test } from "vitest";
import { Random } from "../core/random.js";
import { type PoliciesDocument, PolicySet } from "../policies/index.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import { FailingStore } from "../../test/support/failing-store.js";
import { randomDocument, randomRequest } from "../../test/support/rules-model.js";
import { runs } from "../../test/support/runs.js";
import type { HttpCall } from "./call.js";
import type { Charge } from "./charge.js";
import { createGate } from "./gate.js";

const call = (): HttpCall => {
  return { method: "GET", path: "/", address: "192.0.2.7", header: () => undefined };
};

function setOf(source: PoliciesDocument, store: MemoryStore): PolicySet {
  const rules = new PolicySet({ store, source });
  onTestFinished(() => rules.close());
  return rules;
}

// A charge that settles is awaited; no request here ends, so nothing is settled.
test("at once is the same answer as awaited, and the same counts", async () => {
  const seen = { denied: 0, denials: 0, several: 0 };
  for (let run = 0; run < runs(40); run++) {
    const random = new Random(run);
    const document = randomDocument(random);
    const made = () => setOf(document, new MemoryStore({ clock: new ManualClock() }));
    const [now, later] = [made(), made()];
    for (let i = 0; i < 25; i++) {
      const { entries, plan, cost } = randomRequest(random);
      const charge = { entries, plan, cost };
      const atOnce = createGate({ charge: (): Charge => ({ ...charge, limiter: now }) });
      const awaited = createGate({
        charge: (): Charge => ({ ...charge, limiter: later, settle: () => 1 }),
      });
      const pass = atOnce.enter({}, call());
      expect(pass).not.toBeInstanceOf(Promise);
      const { fields, denial } = await pass;
      const expected = await awaited.enter({}, call());
      expect({ fields, denial }).toEqual({ fields: expected.fields, denial: expected.denial });
      seen.denied += Number(denial !== undefined);
      seen.several += Number((denial?.decisions.length ?? 0) > 1);
      seen.denials += denial?.decisions.filter(({ allowed }) => !allowed).length ?? 0;
    }
    expect(now.stats()).toEqual(later.stats());
  }
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(10);
});

const bucket = { algorithm: "token-bucket", limit: 5, period: "1h" } as const;

test("where the store fails on the way at once, it is asked once more, and charged once", async () => {
  const store = new FailingStore({ clock: new ManualClock() });
  const rules = setOf(
    {
      rules: [
        { name: "user", key: ["user"], policy: bucket },
        { name: "all", policy: bucket },
      ],
    },
    store,
  );
  const gate = createGate({ charge: () => ({ limiter: rules, entries: { user: "ann" } }) });
  store.fails = 1;
  const pass = gate.enter({}, call());
  expect(pass).toBeInstanceOf(Promise);
  expect((await pass).denial).toBeUndefined();
  expect((await rules.peek({ entries: { user: "ann" } })).remaining).toBe(4);
});
