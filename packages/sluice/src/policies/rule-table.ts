/** All rules of a document, found by the entry that tells most of them apart. */
import type { CompiledRule } from "./compiled-rule.js";
import type { PoliciesMode } from "./document.js";
import type { MatchedRule, PolicyRequest } from "./matched-rule.js";
import { entryOf } from "./rule-key.js";

/** A rule with its place in the document. */
interface Placed {
  readonly place: number;
  readonly rule: CompiledRule;
}

const NONE: readonly Placed[] = [];

/** The texts that an entry must be for a rule; undefined where other values may match too. */
function exactTexts(rule: CompiledRule, entry: string): ReadonlySet<string> | undefined {
  return rule.matchers.find(([name]) => name === entry)?.[1].exactTexts;
}

/** The entry that most rules compare with exact texts. */
function tellingEntry(rules: readonly CompiledRule[]): string | undefined {
  const counts = new Map<string, number>();
  let best: string | undefined;
  for (const { matchers } of rules) {
    for (const [entry, { exactTexts: texts }] of matchers) {
      if (texts === undefined) continue;
      counts.set(entry, (counts.get(entry) ?? 0) + 1);
      if (best === undefined || (counts.get(entry) ?? 0) > (counts.get(best) ?? 0)) best = entry;
    }
  }
  return best;
}

export class RuleTable {
  readonly #entry: string | undefined;
  /** Rules that need `#entry` to be one of a few texts, by each of these. */
  readonly #byText = new Map<string, Placed[]>();
  /** The others. */
  readonly #general: readonly Placed[];

  constructor(rules: readonly CompiledRule[]) {
    const entry = tellingEntry(rules);
    const general: Placed[] = [];
    rules.forEach((rule, place) => {
      const texts = entry === undefined ? undefined : exactTexts(rule, entry);
      if (texts === undefined) general.push({ place, rule });
      for (const text of texts ?? []) {
        const others = this.#byText.get(text);
        if (others === undefined) this.#byText.set(text, [{ place, rule }]);
        else others.push({ place, rule });
      }
    });
    this.#entry = entry;
    this.#general = general;
  }

  /** What a request meets, in the document's order. */
  match(request: PolicyRequest, nowUs: number, mode: PoliciesMode): readonly MatchedRule[] {
    const met: MatchedRule[] = [];
    if (mode === "off") return met;
    const text = this.#entry === undefined ? undefined : entryOf(request.entries, this.#entry);
    const special = (text === undefined ? undefined : this.#byText.get(text)) ?? NONE;
    const general = this.#general;
    let s = 0;
    let g = 0;
    while (s < special.length || g < general.length) {
      const a = special[s];
      const b = general[g];
      const isSpecial = b === undefined || (a !== undefined && a.place < b.place);
      const { rule } = (isSpecial ? a : b) as Placed;
      if (isSpecial) s += 1;
      else g += 1;
      if (!rule.isFor(request)) continue;
      const matched = rule.meet(request, nowUs, mode);
      if (matched !== undefined) met.push(matched);
    }
    return met;
  }
}
