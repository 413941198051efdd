/**
 * The keyspaces of a store, and who uses which with which options: two limiters that disagree would corrupt
 * each other's quota. A store extends this, or keeps account in its own way.
 */
import type { Kernel } from "../algorithms/kernel.js";
import { InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";
import type { Claimant, Keyspace } from "./store.js";

interface Claim {
  readonly fingerprint: string;
  readonly holders: Holders;
}

/** Objects that are held weakly: those that were dropped do not count. */
export class Holders {
  readonly #all = new Set<WeakRef<object>>();
  readonly #refsOf = new WeakMap<object, WeakRef<object>[]>();

  add(holder: object): void {
    const ref = new WeakRef(holder);
    this.#refsOf.set(holder, [...(this.#refsOf.get(holder) ?? []), ref]);
    this.#all.add(ref);
  }

  delete(holder: object): void {
    const ref = this.#refsOf.get(holder)?.pop();
    if (ref !== undefined) this.#all.delete(ref);
  }

  /** Whether all are gone. */
  isEmpty(): boolean {
    for (const ref of this.#all) {
      if (ref.deref() !== undefined) return false;
      this.#all.delete(ref);
    }
    return true;
  }
}

/** Who claims without a name for itself: it is never gone, unless it says so. */
const ANYBODY: Claimant = Object.freeze({ holder: Object.freeze({}), replaces: false });

/** The keyspaces of a store, and who uses each with which options. */
export class KeyspaceRegistry<S extends Keyspace = Keyspace> {
  readonly #make: (name: string, kernel: Kernel) => S;
  readonly #keyspaces = new Map<string, S>();
  readonly #claims = new Map<string, Claim>();

  /** `make` makes what the store keeps for a keyspace: once for each name. */
  constructor(make: (name: string, kernel: Kernel) => S) {
    this.#make = make;
  }

  /** The keyspace of a name, made at its first use. */
  open(name: string, kernel: Kernel): S {
    let keyspace = this.#keyspaces.get(name);
    if (keyspace === undefined) {
      keyspace = this.#make(name, kernel);
      this.#keyspaces.set(name, keyspace);
    }
    return keyspace;
  }

  /** Uses a keyspace with these options. @throws InvalidOptionError if it is in use with others */
  claim(keyspace: string, fingerprint: string, { holder, replaces }: Claimant = ANYBODY): void {
    let claim = this.#claims.get(keyspace);
    if (claim !== undefined && claim.fingerprint !== fingerprint) {
      if (!replaces && !claim.holders.isEmpty()) {
        throw claimed(keyspace, claim.fingerprint, fingerprint);
      }
      claim = undefined;
    }
    if (claim === undefined) {
      claim = { fingerprint, holders: new Holders() };
      this.#claims.set(keyspace, claim);
    }
    claim.holders.add(holder);
  }

  /** Ends a use. */
  release(keyspace: string, fingerprint: string, { holder }: Claimant = ANYBODY): void {
    const claim = this.#claims.get(keyspace);
    if (claim?.fingerprint !== fingerprint) return;
    claim.holders.delete(holder);
    if (claim.holders.isEmpty()) this.#claims.delete(keyspace);
  }
}

function claimed(keyspace: string, theirs: string, ours: string): InvalidOptionError {
  return new InvalidOptionError(
    "policy",
    new InWords(ours),
    `the options that another limiter of this store gave "${keyspace}", ${theirs}; share that limiter, give this ` +
      "policy another name or, if this limiter replaces the other one, close that one or pass replace: true",
  );
}
