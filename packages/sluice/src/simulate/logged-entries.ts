/** What a log says of a request's entries, and what follows from that: values are texts, or the ids of texts. */
import { keyId } from "../audit/record.js";
import type { LoggedRequest } from "../audit/request-record.js";
import type { EntryCondition, EntryTexts } from "../policies/document.js";
import { conditionOf, cutPattern, EntryMatcher, listOf } from "../policies/pattern.js";
import { ruleKey } from "../policies/rule-key.js";

/** One request of a log, ready to be asked about. */
export class LoggedEntries {
  readonly request: LoggedRequest;
  /** Whether no text can be compared with an id. */
  readonly #isSecret: boolean;

  constructor(request: LoggedRequest, isSecret: boolean) {
    this.request = request;
    this.#isSecret = isSecret;
  }

  get names(): readonly string[] {
    const { entries = {}, ids = {} } = this.request;
    return [...Object.keys(entries), ...Object.keys(ids)];
  }

  has(name: string): boolean {
    return this.clear(name) !== undefined || this.#hidden(name) !== undefined;
  }

  /** The value, if the log says it. */
  clear(name: string): string | undefined {
    const { entries = {} } = this.request;
    return Object.hasOwn(entries, name) ? entries[name] : undefined;
  }

  /** The same for the same value, however the log has it; undefined if the entry is absent. */
  idOf(name: string): string | undefined {
    const clear = this.clear(name);
    if (clear === undefined) return this.#hidden(name);
    return this.#isSecret ? `=${clear}` : idOfEntry(name, clear);
  }

  /** The id of one of these texts; undefined if the log cannot say. */
  isOneOf(name: string, ids: ReadonlySet<string>): boolean | undefined {
    const id = this.#hidden(name);
    if (id === undefined) return false;
    return this.#isSecret ? undefined : ids.has(id);
  }

  #hidden(name: string): string | undefined {
    const { ids = {} } = this.request;
    return Object.hasOwn(ids, name) ? ids[name] : undefined;
  }
}

/** As logs have it: the id of the key of a rule with this entry alone. */
export function idOfEntry(name: string, text: string): string {
  return keyId(ruleKey([name], { [name]: text }) as string);
}

/** Texts as ids, and whether there are others that no id can be compared with. */
interface HashedTexts {
  readonly ids: ReadonlySet<string>;
  /** A star alone. */
  readonly isAny: boolean;
  readonly hasPatterns: boolean;
}

/** What one entry must be, in a log. */
export class LoggedMatcher {
  readonly name: string;
  readonly #matcher: EntryMatcher;
  readonly #is: HashedTexts | undefined;
  readonly #not: HashedTexts | undefined;

  constructor(name: string, condition: EntryTexts | EntryCondition) {
    this.name = name;
    this.#matcher = new EntryMatcher(condition);
    const { is, not } = conditionOf(condition);
    this.#is = is === undefined ? undefined : hashedTexts(name, listOf(is));
    this.#not = not === undefined ? undefined : hashedTexts(name, listOf(not));
  }

  /** Whether an id can be too little to tell. */
  get needsClear(): boolean {
    return this.#is?.hasPatterns === true || this.#not?.hasPatterns === true;
  }

  /** Undefined if the log does not say. */
  matches(entries: LoggedEntries): boolean | undefined {
    const { name } = this;
    const clear = entries.clear(name);
    if (clear !== undefined) return this.#matcher.matches(clear);
    if (!entries.has(name)) return false;
    const is = this.#is === undefined ? true : isAmong(entries, name, this.#is);
    const not = this.#not === undefined ? false : isAmong(entries, name, this.#not);
    if (is === false || not === true) return false;
    return is === undefined || not === undefined ? undefined : true;
  }
}

function hashedTexts(name: string, texts: readonly string[]): HashedTexts {
  const patterns = texts.map((text) => cutPattern(text) ?? [text]);
  const exact = patterns.flatMap((parts) => (parts.length === 1 ? (parts[0] as string) : []));
  const isAny = patterns.some((parts) => parts.length > 1 && parts.every((part) => part === ""));
  const hasPatterns = !isAny && patterns.some((parts) => parts.length > 1);
  return { ids: new Set(exact.map((text) => idOfEntry(name, text))), isAny, hasPatterns };
}

function isAmong(
  entries: LoggedEntries,
  name: string,
  { ids, isAny, hasPatterns }: HashedTexts,
): boolean | undefined {
  if (isAny) return true;
  const isOne = entries.isOneOf(name, ids);
  return isOne === false && hasPatterns ? undefined : isOne;
}
