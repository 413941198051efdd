/** The semaphores of a service: each made when it is first asked for, with what its callers say of it. */
import { Semaphore, type Store } from "sluice";
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

/** Of names that nobody is asking for, the one that has been so for the longest time makes room. */
const MOST_NAMES = 1000;

export class Semaphores {
  readonly #service: Service;
  readonly #known = new Map<string, Known>();
  readonly #ending = new AbortController();

  constructor(service: Service) {
    this.#service = service;
    // Those who wait in line would keep the service from its end.
    service.mount({
      close: async () => {
        this.#ending.abort();
        await Promise.all([...this.#known.values()].map(({ semaphore }) => semaphore.close()));
      },
    });
  }

  /** Fires when the service ends: who waits in line then leaves it. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /**
   * Runs `work` with the semaphore of this name.
   *
   * @throws HttpProblem where others use it with another limit or lease at this moment; InvalidOptionError
   */
  async use<T>(terms: SemaphoreTerms, work: (semaphore: Semaphore) => Promise<T>): Promise<T> {
    const known = await this.#taken(terms);
    try {
      return await work(known.semaphore);
    } finally {
      known.users -= 1;
    }
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
    const { store, settings } = this.#service;
    const { namespace, storeTimeout: timeout } = settings;
    const semaphore = new Semaphore<Store>({
      name,
      limit,
      leaseDuration,
      store,
      namespace,
      timeout,
    });
    const made = { terms, semaphore, users: 1 };
    this.#known.set(name, made);
    return made;
  }

  /** @throws HttpProblem where all are in use */
  #makeRoom(): void {
    for (const [name, { users, semaphore }] of this.#known) {
      if (users > 0) continue;
      this.#known.delete(name);
      // It holds nothing and nobody waits: this is done at once.
      void semaphore.close();
      return;
    }
    throw invalid(`more than ${MOST_NAMES} semaphores are in use at this moment`);
  }
}
