/** Many consumes in one go, without more of them under way at once than the store can answer in time. */
import { monotonicMs } from "../core/clock.js";
import { inLine, MANY_DEBITS } from "./many-line.js";
import type { Pipeline } from "./pipeline.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest } from "./request.js";

/**
 * Runs any number of consumes. What would not fit under way at once begins when those before are answered: the wait in
 * this process is not the store's.
 */
export async function runMany(
  limiter: Pipeline,
  requests: readonly LimiterRequest[],
): Promise<LimiterAnswer[]> {
  const preparing = requests.map((request) => limiter.prepare(request));
  // Policies that are promised are waited for together.
  const isPromised = preparing.some((each) => each instanceof Promise);
  const prepared = isPromised
    ? await Promise.all(
        preparing.map((each, i) => known(limiter, requests[i] as LimiterRequest, each)),
      )
    : (preparing as readonly PreparedRequest[]);
  const answers: LimiterAnswer[] = [];
  const [first] = prepared;
  const debits = first !== undefined && "call" in first ? first.call.debits.length : 1;
  const count = Math.ceil(MANY_DEBITS / debits);
  for (let begin = 0; begin < prepared.length; begin += count) {
    const group = prepared.slice(begin, begin + count);
    const decided = await inLine(limiter.store, group.length * debits, (hasWaited) => {
      const atMs = begin > 0 || hasWaited ? monotonicMs() : undefined;
      const running = group.map(async (each) => {
        if (!("call" in each)) return each;
        return limiter.runPrepared(atMs === undefined ? each : { ...each, atMs });
      });
      return Promise.all(running);
    });
    answers.push(...decided);
  }
  return answers;
}

/** The prepared request, or its answer if the policies do not come. */
async function known(
  limiter: Pipeline,
  request: LimiterRequest,
  preparing: PreparedRequest | Promise<PreparedRequest>,
): Promise<PreparedRequest | LimiterAnswer> {
  try {
    return await preparing;
  } catch (error) {
    return limiter.withoutPolicies(request, error as Error);
  }
}
