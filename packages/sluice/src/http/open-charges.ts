/** What is done when a request has ended, once: costs become what they came to, and places go to the next. */
import type { ChargeAnswer } from "./charging.js";
import type { HttpOutcome } from "./call.js";

export class OpenCharges {
  readonly #answers: readonly ChargeAnswer[];
  #settled: Promise<void> | undefined;

  private constructor(answers: readonly ChargeAnswer[]) {
    this.#answers = answers;
  }

  /** undefined where nothing is left to do. */
  static of(answers: readonly ChargeAnswer[]): OpenCharges | undefined {
    return answers.some(isOpen) ? new OpenCharges(answers.filter(isOpen)) : undefined;
  }

  /** Never rejects: what fails is reported by the limiters' hooks. */
  settle(outcome: HttpOutcome): Promise<void> {
    this.#settled ??= this.#settleAll(outcome);
    return this.#settled;
  }

  async #settleAll(outcome: HttpOutcome): Promise<void> {
    await Promise.all(this.#answers.map((answer) => settleOne(answer, outcome)));
  }
}

/** Only what was taken is settled: a store that did not answer has nothing to give back. */
function isOpen({ charge, permit, hasTaken }: ChargeAnswer): boolean {
  return permit !== undefined || (charge.settle !== undefined && hasTaken);
}

async function settleOne(answer: ChargeAnswer, outcome: HttpOutcome): Promise<void> {
  const { charge, key, decision, permit } = answer;
  await permit?.[Symbol.asyncDispose]();
  const { to, slot, cost: reserved, settle } = charge;
  if (settle === undefined || to.kind === "semaphore") return;
  try {
    const actual = await settle(outcome);
    await to.limiter.settle(key, { reserved, actual, of: decision, slot });
  } catch (error) {
    to.pipeline.events.to.failure?.({ error, key, cost: reserved });
  }
}
