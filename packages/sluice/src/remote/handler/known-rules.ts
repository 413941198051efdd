/** What requests name again and again: policies, made ready once, and the keyspaces of the store. */
import { type Rule, ruleOf } from "../../algorithms/rule.js";
import { InvalidOptionError, StoreUnavailableError } from "../../core/errors.js";
import type { Keyspace, Store } from "../../stores/store.js";
import { BadRequest, readObject } from "./bad-request.js";

const LONGEST_POLICY = 4096;
/** Policies that are remembered; further ones replace the oldest. */
const MOST_RULES = 1000;

export class KnownRules {
  readonly #store: Store;
  readonly #mostKeyspaces: number;
  readonly #rules = new Map<string, Rule>();
  readonly #keyspaces = new Map<string, { readonly tag: string; readonly keyspace: Keyspace }>();

  constructor(store: Store, mostKeyspaces: number) {
    this.#store = store;
    this.#mostKeyspaces = mostKeyspaces;
  }

  /** The rule of a policy; an InvalidOptionError if this version knows no such policy. */
  ruleOf(what: string, value: unknown): Rule | Error {
    const text = JSON.stringify(readObject(what, value));
    if (text.length > LONGEST_POLICY) {
      throw new BadRequest(`${what} must be a policy of at most ${LONGEST_POLICY} characters`);
    }
    let rule = this.#rules.get(text);
    if (rule !== undefined) return rule;
    try {
      rule = ruleOf(value);
    } catch (error) {
      return error as Error;
    }
    if (this.#rules.size >= MOST_RULES) {
      for (const oldest of this.#rules.keys()) {
        this.#rules.delete(oldest);
        break;
      }
    }
    this.#rules.set(text, rule);
    return rule;
  }

  /** The keyspace of a name that a rule decides in: one name is one kernel's, or its states would be misread. */
  keyspaceOf(name: string, { kernel }: Rule): Keyspace | Error {
    const known = this.#keyspaces.get(name);
    if (known !== undefined) {
      return known.tag === kernel.tag ? known.keyspace : ofAnotherKind(name);
    }
    if (this.#keyspaces.size >= this.#mostKeyspaces) {
      return new StoreUnavailableError(
        `the service has ${this.#mostKeyspaces} names of policies, the most that it takes`,
        { code: "STORE_FULL", ofKey: true },
      );
    }
    const keyspace = this.#store.open(name, kernel);
    this.#keyspaces.set(name, { tag: kernel.tag, keyspace });
    return keyspace;
  }
}

function ofAnotherKind(name: string): InvalidOptionError {
  return new InvalidOptionError(
    "policy.name",
    name,
    "a name that no policy of another algorithm has at this service",
  );
}
