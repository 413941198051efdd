/**
 * The spaces of a store, and who uses which with which options: two limiters that disagree would corrupt
 * each other's quota. Every store is one of these.
 */
import type { Kernel } from "../algorithms/kernel.js";
import { InvalidOptionError } from "../core/errors.js";
import type { Space } from "./store.js";

interface Claim {
  readonly fingerprint: string;
  holders: number;
}

export class SpaceKeeper<S extends Space = Space> {
  readonly #make: (name: string, kernel: Kernel) => S;
  readonly #spaces = new Map<string, S>();
  readonly #claims = new Map<string, Claim>();

  /** `make` makes what the store keeps for a space: once for each name. */
  constructor(make: (name: string, kernel: Kernel) => S) {
    this.#make = make;
  }

  open(name: string, kernel: Kernel): S {
    let space = this.#spaces.get(name);
    if (space === undefined) {
      space = this.#make(name, kernel);
      this.#spaces.set(name, space);
    }
    return space;
  }

  claim(space: string, fingerprint: string): void {
    const claim = this.#claims.get(space);
    if (claim === undefined) {
      this.#claims.set(space, { fingerprint, holders: 1 });
    } else if (claim.fingerprint === fingerprint) {
      claim.holders += 1;
    } else {
      throw new InvalidOptionError(
        "policy",
        fingerprint,
        `the options that another limiter of this store gave "${space}", ${claim.fingerprint}; ` +
          "share that limiter, or give this policy a name of its own",
      );
    }
  }

  release(space: string, fingerprint: string): void {
    const claim = this.#claims.get(space);
    if (claim?.fingerprint !== fingerprint) return;
    claim.holders -= 1;
    if (claim.holders === 0) this.#claims.delete(space);
  }
}
