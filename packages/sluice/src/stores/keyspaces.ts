/**
 * The keyspaces of a store, and who uses which with which options: two limiters that disagree would corrupt
 * each other's quota. A store extends this, or keeps account in its own way.
 */
import type { Kernel } from "../algorithms/kernel.js";
import { InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";
import type { Keyspace } from "./store.js";

interface Claim {
  readonly fingerprint: string;
  holders: number;
}

export class KeyspaceRegistry<S extends Keyspace = Keyspace> {
  readonly #make: (name: string, kernel: Kernel) => S;
  readonly #keyspaces = new Map<string, S>();
  readonly #claims = new Map<string, Claim>();

  /** `make` makes what the store keeps for a keyspace: once for each name. */
  constructor(make: (name: string, kernel: Kernel) => S) {
    this.#make = make;
  }

  open(name: string, kernel: Kernel): S {
    let keyspace = this.#keyspaces.get(name);
    if (keyspace === undefined) {
      keyspace = this.#make(name, kernel);
      this.#keyspaces.set(name, keyspace);
    }
    return keyspace;
  }

  claim(keyspace: string, fingerprint: string): void {
    const claim = this.#claims.get(keyspace);
    if (claim === undefined) {
      this.#claims.set(keyspace, { fingerprint, holders: 1 });
    } else if (claim.fingerprint === fingerprint) {
      claim.holders += 1;
    } else {
      throw new InvalidOptionError(
        "policy",
        new InWords(fingerprint),
        `the options that another limiter of this store gave "${keyspace}", ${claim.fingerprint}; ` +
          "share that limiter, or give this policy a name of its own",
      );
    }
  }

  release(keyspace: string, fingerprint: string): void {
    const claim = this.#claims.get(keyspace);
    if (claim?.fingerprint !== fingerprint) return;
    claim.holders -= 1;
    if (claim.holders === 0) this.#claims.delete(keyspace);
  }
}
