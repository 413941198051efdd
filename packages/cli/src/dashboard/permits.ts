/** Who holds and who waits for one key of a semaphore of this process, and the end of its permits. */
import { InvalidOptionError, type Semaphore } from "sluice";
import { keyId } from "sluice/audit";
import type { SemaphoreReport } from "sluice/report";
import { notValid, Refusal } from "./answers.js";
import type { PermitsAsked, PermitsListed, SemaphoreState } from "./wire.js";

const US = 1000;

/** Permits that were ended, for the record. */
interface PermitsEnded {
  readonly target: string;
  readonly text: string;
  readonly ended: number;
}

/** Semaphores that come and go while the page is open, and whose permits are held by clients. */
export interface LentSemaphores {
  /** Those of now. */
  states(): readonly SemaphoreState[];
  /** Runs `work` with one of them; undefined if there is none of this name. */
  watchKnown<T>(name: string, work: (semaphore: Semaphore) => Promise<T>): Promise<T> | undefined;
}

export class KeyPermits {
  readonly #semaphores: ReadonlyMap<string, Semaphore>;
  readonly #lent: () => LentSemaphores | undefined;

  constructor(
    semaphores: readonly Semaphore[] = [],
    lent: () => LentSemaphores | undefined = () => undefined,
  ) {
    this.#semaphores = new Map(semaphores.map((each) => [each.stats().semaphore, each]));
    this.#lent = lent;
  }

  /** What reports say of semaphores, and those that are in no report. */
  statesOf(reported: readonly SemaphoreReport[]): readonly SemaphoreState[] {
    const names = new Set(reported.map(({ semaphore }) => semaphore));
    const lent = this.#lent()?.states() ?? [];
    const own = new Set(lent.map(({ semaphore }) => semaphore));
    return [
      ...reported.map(({ semaphore, limit, held, waiting, lost }): SemaphoreState => {
        const canList = this.#semaphores.has(semaphore) || own.has(semaphore);
        return { semaphore, limit, held, waiting, lost, canList };
      }),
      ...lent.filter(({ semaphore }) => !names.has(semaphore)),
    ];
  }

  /** @throws Refusal; what the store fails with */
  async list({ semaphore, key, slot }: PermitsAsked): Promise<PermitsListed> {
    const listed = await this.#with(semaphore, (found) => found.list(key, { slot }));
    const { limit, held, waiting, holders, waiters } = listed;
    return {
      limit,
      held,
      waiting,
      holders: holders.map(({ fencingToken, weight, sinceUs, untilUs }) => {
        const token = String(fencingToken);
        return { fencingToken: token, weight, sinceMs: sinceUs / US, untilMs: untilUs / US };
      }),
      waiters: waiters.map(({ weight, sinceUs }) => ({ weight, sinceMs: sinceUs / US })),
    };
  }

  /** @throws Refusal; what the store fails with */
  async end({ semaphore, key, slot }: PermitsAsked): Promise<PermitsEnded> {
    const ended = await this.#with(semaphore, (found) => found.reset(key, { slot }));
    const target = `${semaphore} ${keyId(key)}`;
    return {
      target,
      text: `ended ${ended === 1 ? "1 permit" : `${ended} permits`} of ${target}`,
      ended,
    };
  }

  async #with<T>(name: string, work: (semaphore: Semaphore) => Promise<T>): Promise<T> {
    const found = this.#semaphores.get(name);
    try {
      const worked = found === undefined ? this.#lent()?.watchKnown(name, work) : work(found);
      if (worked !== undefined) return await worked;
    } catch (error) {
      if (error instanceof InvalidOptionError) throw notValid(error.message);
      throw error;
    }
    throw new Refusal(404, "There is no such semaphore", `this process has no semaphore ${name}`);
  }
}
