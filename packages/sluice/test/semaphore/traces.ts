/** Random commands for semaphores, and how they are played. */
import fc from "fast-check";
import {
  type CommandEntry,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreVerb,
  type Terms,
} from "../../src/algorithms/semaphore/kernel.js";

/** Which fence a renewal or a release names: none, the one last given, one before it, or one never given. */
const FENCES = ["none", "last", "old", "wrong"] as const;

export interface Step {
  readonly advanceUs: number;
  readonly verb: keyof typeof SEMAPHORE_VERBS;
  readonly limit: number;
  readonly terms: Terms;
  /** "" where nobody is to be notified. */
  readonly channel: string;
  readonly entries: readonly {
    readonly id: string;
    readonly weight: number;
    readonly fence: (typeof FENCES)[number];
  }[];
}

const MS = 1000;
/** Longer than most of what the clock moves at once, and shorter than some. */
const terms: fc.Arbitrary<Terms> = fc.constantFrom(
  { leaseUs: 1000 * MS, claimUs: 250 * MS, waitUs: 625 * MS },
  { leaseUs: 300 * MS, claimUs: 75 * MS, waitUs: 187.5 * MS },
);

const entry = fc.record({
  id: fc.constantFrom("a.1", "a.2", "a.3", "b.1", "b.2", "c.1", "c.10", "c.2"),
  weight: fc.constantFrom(1, 1, 1, 2, 3),
  fence: fc.constantFrom(...FENCES, "last" as const, "last" as const),
});

const step = (backwards: boolean): fc.Arbitrary<Step> =>
  fc
    .record({
      advanceUs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 200 * MS }),
        fc.constantFrom(75 * MS, 250 * MS, 300 * MS, 1000 * MS, 2000 * MS),
        ...(backwards ? [fc.integer({ min: -500 * MS, max: -1 })] : []),
      ),
      verb: fc.constantFrom(
        ...(["acquire", "acquire", "acquire", "tryAcquire"] as const),
        ...(["renew", "renew", "release", "release", "setLimit", "inspect"] as const),
        ...(["revoke", "holders", "waiters"] as const),
      ),
      limit: fc.constantFrom(2, 2, 2, 3, 1),
      terms,
      channel: fc.constantFrom("", "a", "b"),
      entries: fc.uniqueArray(entry, { minLength: 1, maxLength: 3, selector: ({ id }) => id }),
    })
    .map((made) => (["setLimit", "inspect"].includes(made.verb) ? { ...made, entries: [] } : made));

/** A step by itself, for groups of them. */
export const aStep = step(true);

export const traces = ({ backwards = true } = {}): fc.Arbitrary<readonly Step[]> =>
  fc.array(step(backwards), { minLength: 1, maxLength: 60, size: "max" });

/** Turns steps into commands: fences are those that the answers before gave. */
export class Player {
  nowUs: number;
  readonly #fences = new Map<string, number[]>();
  readonly #prefix: string;

  /** `prefix`: of all channels. */
  constructor(startUs: number, prefix = "") {
    this.nowUs = startUs;
    this.#prefix = prefix;
  }

  commandOf(made: Step): SemaphoreCommand {
    this.nowUs += made.advanceUs;
    const verb: SemaphoreVerb = SEMAPHORE_VERBS[made.verb];
    const asks = made.verb === "acquire" || made.verb === "tryAcquire";
    const entries = made.entries.map(({ id, weight, fence }): CommandEntry => {
      const [last = 0, old = 0] = this.#fences.get(id) ?? [];
      const named = { none: 0, last, old, wrong: last + 1 }[fence];
      return { id, number: asks ? weight : named };
    });
    const channel = made.channel === "" ? "" : `${this.#prefix}${made.channel}`;
    return { verb, limit: made.limit, terms: made.terms, channel, entries };
  }

  learn({ verb, entries }: SemaphoreCommand, answer: SemaphoreAnswer): void {
    // What is listed has its weight for an outcome.
    if (verb === SEMAPHORE_VERBS.holders || verb === SEMAPHORE_VERBS.waiters) return;
    answer.entries.forEach(({ outcome, number }, i) => {
      const id = entries[i]?.id ?? "";
      const fences = this.#fences.get(id) ?? [];
      if (outcome !== OUTCOME.held || fences[0] === number) return;
      this.#fences.set(id, [number, ...fences]);
    });
  }
}
