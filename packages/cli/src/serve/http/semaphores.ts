/** The semaphores of a service: each made at its first use, with the options that its callers give. */
import { Semaphore, type Store } from "sluice";
import type { LentSemaphores } from "../../dashboard/permits.js";
import type { Service } from "../service.js";
import { invalid } from "./asked.js";

/** What callers say of a semaphore, as they would in code. */
export interface SemaphoreTerms {
  readonly name: string;
  readonly limit: number;
  readonly leaseDuration: string | number;
}

interface Known {
  readonly terms: SemaphoreTerms;
  readonly semaphore: Semaphore;
  /** Requests that are using it. */
  users: number;
}

/** Beyond this many names, the one that has been unused for the longest time makes room. */
const MOST_NAMES = 1000;

export class Semaphores implements LentSemaphores {
  readonly #service: Service;
  readonly #known = new Map<string, Known>();
  readonly #ending = new AbortController();

  constructor(service: Service) {
    this.#service = service;
    service.lend(this);
    // Waiting calls would keep the service from ending.
    service.mount({
      close: async () => {
        this.#ending.abort();
        await Promise.all([...this.#known.values()].map(({ semaphore }) => semaphore.close()));
      },
    });
  }

  /** Fires when the service ends: waiting calls then leave the line. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /**
   * Runs `work` with the semaphore of this name.
   *
   * @throws HttpProblem if others use it with another limit or lease at this moment; InvalidOptionError
   */
  async use<T>(terms: SemaphoreTerms, work: (semaphore: Semaphore) => Promise<T>): Promise<T> {
    const known = await this.#taken(terms);
    try {
      return await work(known.semaphore);
    } finally {
      known.users -= 1;
    }
  }

  /** Runs `work` with a semaphore that takes no permits, so its lease does not matter. @throws InvalidOptionError */
  async watch<T>(
    { name, limit }: Omit<SemaphoreTerms, "leaseDuration">,
    work: (semaphore: Semaphore) => Promise<T>,
  ): Promise<T> {
    const semaphore = this.#made({ name, limit });
    try {
      return await work(semaphore);
    } finally {
      await semaphore.close();
    }
  }

  /** Those that were asked for since the start, at most as many as are kept. */
  states(): ReturnType<LentSemaphores["states"]> {
    return [...this.#known.values()].map(({ semaphore: known }) => {
      const { semaphore, limit, lost, waits } = known.stats();
      return { semaphore, limit, held: undefined, waiting: waits.waiting, lost, canList: true };
    });
  }

  watchKnown<T>(name: string, work: (semaphore: Semaphore) => Promise<T>): Promise<T> | undefined {
    const found = [...this.#known.values()].find(
      ({ semaphore }) => semaphore.stats().semaphore === name,
    );
    return found && this.watch(found.terms, work);
  }

  /** One user more has it. */
  async #taken(terms: SemaphoreTerms): Promise<Known> {
    const { name, limit, leaseDuration } = terms;
    const known = this.#known.get(name);
    if (known !== undefined) {
      const isSame = known.terms.limit === limit && known.terms.leaseDuration === leaseDuration;
      if (!isSame && known.users > 0) {
        throw invalid(`this semaphore is in use with limit ${known.terms.limit}`);
      }
      this.#known.delete(name);
      if (isSame) {
        this.#known.set(name, known);
        known.users += 1;
        return known;
      }
      await known.semaphore.close();
      return this.#taken(terms);
    }
    if (this.#known.size >= MOST_NAMES) this.#makeRoom();
    const made = { terms, semaphore: this.#made(terms), users: 1 };
    this.#known.set(name, made);
    return made;
  }

  #made(terms: Partial<SemaphoreTerms> & Pick<SemaphoreTerms, "limit">): Semaphore {
    const { store, settings } = this.#service;
    const { namespace, storeTimeout: timeout } = settings;
    return new Semaphore<Store>({ ...terms, store, namespace, timeout });
  }

  /** @throws HttpProblem if all are in use */
  #makeRoom(): void {
    for (const [name, { users, semaphore }] of this.#known) {
      if (users > 0) continue;
      this.#known.delete(name);
      // It holds nothing and no call waits, so this is done at once.
      void semaphore.close();
      return;
    }
    throw invalid(`more than ${MOST_NAMES} semaphores are in use at this moment`);
  }
}
