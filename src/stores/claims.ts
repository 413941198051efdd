/** Who uses which space with which options: two limiters that disagree would corrupt each other's quota. */
import { InvalidOptionError } from "../core/errors.js";

interface Claim {
  readonly fingerprint: string;
  holders: number;
}

export class Claims {
  readonly #claims = new Map<string, Claim>();

  take(space: string, fingerprint: string): void {
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
