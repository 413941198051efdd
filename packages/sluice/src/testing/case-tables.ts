/** Every algorithm's worked examples, and what plays them on a store. */
import { isDeepStrictEqual } from "node:util";
import type { AlgorithmCase, CaseStep, Expectation } from "../algorithms/case-table.js";
import { severalPoliciesCases } from "../algorithms/cases.js";
import { zeroLimitCases } from "../algorithms/zero-limit-cases.js";
import { everyAlgorithmsTools } from "../algorithms/toolbox.js";
import { RateLimiter } from "../limiter/rate-limiter.js";
import type { Granted } from "../limiter/waiting/reserve.js";
import type { Store } from "../stores/store.js";
import { ManualClock } from "./manual-clock.js";

/** The tables by what they are about. */
export const caseTables: Readonly<Record<string, readonly AlgorithmCase[]>> = {
  ...Object.fromEntries(everyAlgorithmsTools.flatMap(({ cases }) => Object.entries(cases))),
  "several policies": severalPoliciesCases,
  "a limit of 0": zeroLimitCases,
};

/** Plays a case on a store that decides by `clock`; throws if an answer is not what the case says. */
export async function playCase(
  store: Store,
  clock: ManualClock,
  namespace: string,
  { name, policy, blockForMs, startMs = new ManualClock().nowUs() / 1e3, steps }: AlgorithmCase,
): Promise<void> {
  await using limiter = new RateLimiter({
    policy,
    store,
    namespace,
    onStoreFailure: "throw",
    // Every answer must be the store's own, at the time of a clock that only the store knows.
    denyCache: false,
    timeout: "30s",
    ...(blockForMs !== undefined && { blockFor: blockForMs }),
  });
  const held: Granted[] = [];
  for (const [i, step] of steps.entries()) {
    clock.set(Math.round((startMs + step.at) * 1e3));
    const answer = relative(await perform(limiter, step, held), startMs);
    for (const [field, expected] of Object.entries(step.says ?? {})) {
      const actual = answer[field as keyof Expectation];
      if (isDeepStrictEqual(actual, expected)) continue;
      throw new Error(
        `${name}: step ${i + 1}, at ${step.at} ms: ${field} is ${JSON.stringify(actual)}, ` +
          `not ${JSON.stringify(expected)}; the answer was ${JSON.stringify(answer)}`,
      );
    }
  }
}

/** One step; `held` keeps the reservations of the case. */
async function perform(limiter: RateLimiter, step: CaseStep, held: Granted[]): Promise<object> {
  const { verb = "consume", cost = 1, policy, durationMs = 0, maxWaitMs } = step;
  const { keepLonger = false, reset = false, back = 0 } = step;
  const key = "k";
  switch (verb) {
    case "consume":
    case "consumeUpTo":
    case "peek":
      return limiter[verb](key, { cost, ...(policy !== undefined && { policy }) });
    case "reserve": {
      const maxWait = maxWaitMs ?? Number.POSITIVE_INFINITY;
      const reservation = await limiter.reserve(key, { cost, maxWait });
      if (reservation.allowed) held.push(reservation);
      return { ...reservation.decision, ...reservation };
    }
    case "cancel":
      return { cancelled: await held.at(-1 - back)?.cancel() };
    case "refund":
    case "penalize":
      return limiter[verb](key, cost);
    case "block":
      await limiter.block(key, durationMs, { keepLonger, reset });
      return {};
    case "unblock":
    case "reset":
      await limiter[verb](key);
      return {};
  }
}

/** The answer with its time as cases tell it. */
function relative(answer: object, startMs: number): Expectation {
  if (!("decidedAtUs" in answer)) return answer;
  const since = (us: unknown): number => (Number(us) - startMs * 1e3) / 1e3;
  return {
    ...answer,
    decidedAt: since(answer.decidedAtUs),
    ...("readyAtUs" in answer && { readyAt: since(answer.readyAtUs) }),
  };
}
