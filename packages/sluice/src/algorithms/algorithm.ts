/** What the registry knows of an algorithm, and the checks that all policies share. */
import { toThousandths } from "../core/amount.js";
import { MAX_PERIOD_US, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkName } from "../core/key.js";
import { checkBoolean, optionReader, unchecked } from "../core/options.js";
import type { Compiled } from "./kernel.js";

/** Fields of every policy. */
export interface PolicyBase {
  /** Which algorithm decides. */
  readonly algorithm: string;
  /** Labels decisions and is part of the store key; the algorithm's id unless given. */
  readonly name: string;
  /** Set only on a policy without a vote: it is decided, charged and counted, and denies nothing. */
  readonly enforce?: false | undefined;
}

/** An option of every policy. */
export interface VoteOption {
  /**
   * false: the policy is on trial. It is decided, charged and counted, in a separate call in the same round trip, and has
   * no vote: see `decision.shadow`. No part of the key or the state. Default true.
   */
  readonly enforce?: boolean | undefined;
}

/** Checks plain options into a policy, and a policy into something to decide with. */
export interface Algorithm<P extends PolicyBase> {
  /** What policies call it in `algorithm`. */
  readonly id: P["algorithm"];
  /** `path` goes before option names in errors: "" or "policy[1].". */
  parse(options: unknown, path: string): P;
  /** Makes a policy ready to decide with. */
  compile(policy: P): Compiled;
}

/** Reads one policy's options, naming them as the caller wrote them. */
export class PolicyReader {
  readonly #path: string;
  readonly #options: Readonly<Record<string, unknown>>;

  constructor(algorithm: string, options: unknown, path: string, known: readonly string[]) {
    this.#path = path;
    const option = path === "" ? "options" : path.slice(0, -1);
    const names = unchecked("algorithm", "name", "enforce", ...known);
    this.#options = optionReader<Record<string, unknown>>()(names).known(options, option);
    const named = this.#given("algorithm", algorithm);
    if (named !== algorithm) {
      throw new InvalidOptionError(`${path}algorithm`, named, `"${algorithm}"`);
    }
  }

  name(otherwise: string): string {
    return checkName(`${this.#path}name`, this.#given("name", otherwise));
  }

  /** The policy, which never changes. */
  finished<P extends PolicyBase>(policy: P): P {
    const enforce = checkBoolean(`${this.#path}enforce`, this.#given("enforce", true));
    return Object.freeze(enforce ? policy : { ...policy, enforce });
  }

  /** What a policy admits a period or window, in units; 0 = nothing. */
  limit(maximum?: number): number {
    return this.units("limit", undefined, 0, maximum);
  }

  /** What a bucket holds, in units: 0 if nothing comes back, whatever is given. */
  capacity(option: string, limit: number, otherwise?: number): number {
    if (limit > 0) return this.units(option, otherwise);
    this.units(option, otherwise, 0);
    return 0;
  }

  /** Units, at least a thousandth unless told otherwise. */
  units(option: string, otherwise?: number, minimum = 0.001, maximum?: number): number {
    const value = this.#given(option, otherwise);
    // Not -0, which JSON does not know.
    return toThousandths(this.#path + option, value, minimum, maximum) / 1000 + 0;
  }

  /** A period or window, as milliseconds. */
  period(option: string): number {
    const value = this.#options[option];
    return toMicroseconds(this.#path + option, value, MIN_PERIOD_US, MAX_PERIOD_US) / 1000;
  }

  /** Anything else, checked by `check`. */
  other<T>(option: string, otherwise: unknown, check: (option: string, value: unknown) => T): T {
    return check(this.#path + option, this.#given(option, otherwise));
  }

  /** Only what is absent has a default: null is a value, and a wrong one. */
  #given(option: string, otherwise: unknown): unknown {
    const value = this.#options[option];
    return value === undefined ? otherwise : value;
  }
}
