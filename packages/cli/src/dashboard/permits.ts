/** Who holds and who waits for one key of a semaphore of this process, and the end of its permits. */
import { InvalidOptionError, type Semaphore } from "sluice";
import { keyId } from "sluice/audit";
import { notValid, Refusal } from "./answers.js";
import type { PermitsAsked, PermitsListed } from "./wire.js";

const US = 1000;

/** Permits that were ended, for the record. */
interface PermitsEnded {
  readonly target: string;
  readonly text: string;
  readonly ended: number;
}

export class KeyPermits {
  readonly #semaphores: ReadonlyMap<string, Semaphore>;

  constructor(semaphores: readonly Semaphore[] = []) {
    this.#semaphores = new Map(semaphores.map((each) => [each.stats().semaphore, each]));
  }

  /** Whether a semaphore of this name is in this process. */
  has(name: string): boolean {
    return this.#semaphores.has(name);
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
    if (found === undefined) {
      throw new Refusal(404, "There is no such semaphore", `this process has no semaphore ${name}`);
    }
    try {
      return await work(found);
    } catch (error) {
      if (error instanceof InvalidOptionError) throw notValid(error.message);
      throw error;
    }
  }
}
