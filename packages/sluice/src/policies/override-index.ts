/** Finds the override of a key: an exact one, else the longest prefix. Its steps do not grow with the number of overrides. */

/** One override, ready to be looked up. */
export interface IndexedOverride {
  /** Without the `*` at its end, if it is a prefix. */
  readonly text: string;
  readonly isPrefix: boolean;
  /** Microseconds since the epoch; Infinity = for ever. */
  readonly untilUs: number;
}

/** Overrides of one rule, no two of them with one key. */
export class OverrideIndex<O extends IndexedOverride> {
  readonly #exact = new Map<string, O>();
  readonly #prefixes = new Map<string, O>();
  /** Of the prefixes, each once, from the longest down. */
  readonly #lengths: readonly number[];

  constructor(overrides: readonly O[]) {
    for (const override of overrides) {
      (override.isPrefix ? this.#prefixes : this.#exact).set(override.text, override);
    }
    const lengths = new Set([...this.#prefixes.keys()].map(({ length }) => length));
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  /** The override of a key that is in force at a time. */
  find(identity: string, nowUs: number): O | undefined {
    const exact = this.#exact.get(identity);
    if (exact !== undefined && nowUs < exact.untilUs) return exact;
    for (const length of this.#lengths) {
      if (length > identity.length) continue;
      const override = this.#prefixes.get(identity.slice(0, length));
      if (override !== undefined && nowUs < override.untilUs) return override;
    }
    return undefined;
  }
}
