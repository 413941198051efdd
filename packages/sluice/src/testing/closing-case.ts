/** What a store owes its callers once it is closed: every call is settled, once, and no later one is decided. */
import { VERBS } from "../algorithms/decide.js";
import { ruleOf } from "../algorithms/rule.js";
import { tokenBucket } from "../algorithms/token-bucket/policy.js";
import { UNIT } from "../core/amount.js";
import { isSyncStore, type Outcome, type Store, type StoreCall } from "../stores/store.js";

const UNDER_WAY = 20;
const rule = ruleOf(tokenBucket({ limit: 1000, period: "1h" }));

/** Throws if the store breaks the rule. A call that is never settled keeps this from ending. */
export async function checkClosing(store: Store, namespace: string): Promise<void> {
  const keyspace = store.open(`${namespace}:closing`, rule.kernel);
  let settled = 0;
  const callOn = (id: string): StoreCall => ({
    verb: VERBS.consume,
    debits: [{ name: "closing", rule, keyspace, id, cost: UNIT }],
    blockUs: 0,
    maxWaitUs: 0,
  });
  const ask = (id: string): Promise<Outcome> =>
    new Promise((resolve) => {
      store.submit(callOn(id), (outcome) => {
        settled += 1;
        resolve(outcome);
      });
    });

  const before = await ask("before");
  assert(!(before instanceof Error), `an open store did not decide a call: ${shown(before)}`);
  assert(store.closed?.aborted !== true, "`closed` has fired before close()");

  const underWay = Array.from({ length: UNDER_WAY }, (_, i) => ask(`under way ${i}`));
  const closing = store.close();
  const later = [ask("at once")];
  for (const outcome of await Promise.all(underWay)) {
    const isRight = !(outcome instanceof Error) || isClosed(outcome);
    assert(isRight, `a call under way got ${shown(outcome)}, neither an answer nor a ClosedError`);
  }
  await closing;
  later.push(ask("after close()"), ask("after close()"));
  for (const outcome of await Promise.all(later)) {
    assert(isClosed(outcome), `a call after close() got ${shown(outcome)}, and no ClosedError`);
  }
  if (isSyncStore(store)) {
    const thrown = errorOf(() => store.executeSync(callOn("after close()")));
    assert(isClosed(thrown), `executeSync after close() ended with ${shown(thrown)}`);
  }
  const { closed } = store;
  if (closed !== undefined) {
    assert(closed.aborted && isClosed(closed.reason), "`closed` did not fire with a ClosedError");
  }
  await store.close();
  const asked = 1 + UNDER_WAY + later.length;
  assert(settled === asked, `${asked} calls were settled ${settled} times`);
}

function assert(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

/** By its code, for a store may have the class from another copy of the package. */
function isClosed(outcome: unknown): boolean {
  return outcome instanceof Error && Reflect.get(outcome, "code") === "CLOSED";
}

function shown(outcome: unknown): string {
  return outcome instanceof Error ? String(outcome) : JSON.stringify(outcome);
}

function errorOf(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}
