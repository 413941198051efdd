/** All rules of a document, found by how the entry begins that tells most of them apart. */
import type { CompiledRule } from "./compiled-rule.js";
import type { PoliciesMode } from "./document.js";
import type { MatchedRule, PolicyRequest } from "./matched-rule.js";
import type { Heads } from "./pattern.js";
import { entryOf } from "./rule-key.js";

/** A rule with its position in the document. */
interface Placed {
  readonly place: number;
  readonly rule: CompiledRule;
}

/** How an entry must begin for a rule; undefined if it may begin otherwise, or be absent. */
function headsOf(rule: CompiledRule, entry: string): Heads | undefined {
  return rule.matchers.find(([name]) => name === entry)?.[1].heads;
}

/** The entry of which most rules say how it begins. */
function tellingEntry(rules: readonly CompiledRule[]): string | undefined {
  const counts = new Map<string, number>();
  let best: string | undefined;
  for (const { matchers } of rules) {
    for (const [entry, { heads }] of matchers) {
      if (heads === undefined) continue;
      counts.set(entry, (counts.get(entry) ?? 0) + 1);
      if (best === undefined || (counts.get(entry) ?? 0) > (counts.get(best) ?? 0)) best = entry;
    }
  }
  return best;
}

export class RuleTable {
  readonly #entry: string | undefined;
  /** Rules that need `#entry` to be a text, by this text. */
  readonly #byText = new Map<string, Placed[]>();
  /** Those that need it to begin with a text, by this. */
  readonly #byPrefix = new Map<string, Placed[]>();
  /** Of the prefixes, each once, the shortest first. */
  readonly #lengths: readonly number[];
  /** The others. */
  readonly #general: readonly Placed[];

  constructor(rules: readonly CompiledRule[]) {
    const entry = tellingEntry(rules);
    const general: Placed[] = [];
    rules.forEach((rule, place) => {
      const placed = { place, rule };
      const heads = entry === undefined ? undefined : headsOf(rule, entry);
      if (heads === undefined) general.push(placed);
      for (const text of heads?.exact ?? []) add(this.#byText, text, placed);
      for (const prefix of heads?.prefixes ?? []) add(this.#byPrefix, prefix, placed);
    });
    this.#entry = entry;
    this.#general = general;
    const lengths = new Set([...this.#byPrefix.keys()].map(({ length }) => length));
    this.#lengths = [...lengths].sort((a, b) => a - b);
  }

  /** What a request meets, in the document's order. */
  match(request: PolicyRequest, nowUs: number, mode: PoliciesMode): readonly MatchedRule[] {
    const met: MatchedRule[] = [];
    if (mode === "off") return met;
    for (const { rule } of this.#candidates(request)) {
      if (!rule.isFor(request)) continue;
      const matched = rule.meet(request, nowUs, mode);
      if (matched !== undefined) met.push(matched);
    }
    return met;
  }

  /** The rules that the request may meet, in order: no look at those that want another beginning. */
  #candidates(request: PolicyRequest): readonly Placed[] {
    const text = this.#entry === undefined ? undefined : entryOf(request.entries, this.#entry);
    if (text === undefined) return this.#general;
    let found = inOrder(this.#general, this.#byText.get(text));
    for (const length of this.#lengths) {
      if (length > text.length) break;
      found = inOrder(found, this.#byPrefix.get(text.slice(0, length)));
    }
    return found;
  }
}

function add(to: Map<string, Placed[]>, text: string, placed: Placed): void {
  const others = to.get(text);
  if (others === undefined) to.set(text, [placed]);
  else others.push(placed);
}

/** Both lists as one, by position, each rule once. */
function inOrder(a: readonly Placed[], b: readonly Placed[] | undefined): readonly Placed[] {
  if (b === undefined) return a;
  if (a.length === 0) return b;
  const all: Placed[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const one = a[i];
    const other = b[j];
    const isFirst = other === undefined || (one !== undefined && one.place <= other.place);
    if (one !== undefined && one.place === other?.place) j += 1;
    all.push((isFirst ? one : other) as Placed);
    if (isFirst) i += 1;
    else j += 1;
  }
  return all;
}
