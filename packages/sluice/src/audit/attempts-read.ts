/** Reads logs of attempts: what many processes wrote, of some of the keys, with what is missing. */
import type { Policy } from "../algorithms/registry.js";
import { SluiceError } from "../core/errors.js";
import { GIVING_BACK, type Session } from "./attempt-record.js";
import { Doubts } from "./doubts.js";
import { type LineObject, LineFields, show } from "./line-fields.js";
import { linesOf, LineTooLongError } from "./lines.js";
import {
  LogError,
  type LogSource,
  messageOf,
  MOST_KEYS,
  parseLogged,
  TOO_MANY_KEYS,
} from "./log.js";
import { FORMAT, LOGGED_VERBS, type LogRecord } from "./record.js";
import { Records } from "./records.js";
import type { LoggedRequest } from "./request-record.js";

/** What decided. */
export interface AttemptPolicies {
  /** The limiter that wrote the log. */
  readonly limiter: string;
  /** Set if the state was in the memory of one process. */
  readonly store: string | undefined;
  /** What decided on its keys. */
  readonly policies: readonly Policy[];
  /** Whether it is a rule of a set whose requests the log has too, with their entries. */
  readonly ofSet: boolean;
}

export interface AttemptsRead {
  readonly files: readonly string[];
  /** What the records' `rule` counts. */
  readonly rules: readonly AttemptPolicies[];
  /** Their `key` is that of the group, a space and the key's id. */
  readonly records: Records;
  /** The requests to sets of rules, if they are wanted: their `key` is a `RequestsKey`. */
  readonly asked: Records;
  /** Entries of which some of these have an id alone, and whether one was made with a secret. */
  readonly hidden: ReadonlySet<string>;
  readonly isSecret: boolean;
  readonly doubts: Doubts;
  /** How many sessions wrote them, and how many of these did not come to their end, or not from the beginning. */
  readonly sessions: number;
  readonly incomplete: number;
  /** Lines that the logs say are missing, and last lines that were cut short. */
  readonly lost: number;
  readonly torn: number;
  /** The smallest share of keys that a session logged. */
  readonly sample: number;
}

/** The state of a key is of a limiter, of a store, and of policies by their names; their options may change. */
export function groupOf({
  limiter,
  store,
  policies,
}: Pick<AttemptPolicies, "limiter" | "store" | "policies">): string {
  const place = store === undefined ? limiter : `${limiter}@${store}`;
  return `${place}/${policies.map(stateName).join("+")}`;
}

/** Policies of one name keep one state, if their algorithm is the same. */
export function stateName({ name, algorithm }: Policy): string {
  return name === algorithm ? name : `${name}~${algorithm}`;
}

/**
 * Reads logs, one after another, in any order. `group` says which keys count as the same, by what decided: by default those
 * with one state.
 */
export async function readAttempts(
  sources: Iterable<LogSource>,
  group: (rule: AttemptPolicies) => string = groupOf,
  { withRequests = false } = {},
): Promise<AttemptsRead> {
  const reader = new AttemptReader(group, withRequests);
  for (const source of sources) await reader.read(source);
  return reader.finish();
}

/** A part of a session: what it wrote to one file, or until it had to open the file again. */
interface Part {
  /** The numbers of the session's rules. */
  readonly rules: Map<number, number>;
  fromUs: number;
  toUs: number;
  /** Limiters whose lost lines may have given units back, since the last record. */
  readonly lostOn: Set<string>;
}

interface SessionParts {
  readonly parts: Map<number, Part>;
  hasEnded: boolean;
}

class AttemptReader {
  readonly #files: string[] = [];
  readonly #records = new Records();
  readonly #rules: AttemptPolicies[] = [];
  readonly #groups: string[] = [];
  readonly #ruleNumbers = new Map<string, number>();
  readonly #sessions = new Map<string, SessionParts>();
  readonly #doubts = new Doubts();
  readonly #fields = new LineFields((message, cause) => this.#error(message, cause));
  readonly #group: (rule: AttemptPolicies) => string;
  readonly #asked = new Records();
  readonly #hidden = new Set<string>();
  #isSecret = false;
  readonly #withRequests: boolean;
  #session: SessionParts | undefined;
  #part: Part | undefined;
  #sample = 1;
  #lost = 0;
  #torn = 0;
  #line = 0;

  constructor(group: (rule: AttemptPolicies) => string, withRequests: boolean) {
    this.#group = group;
    this.#withRequests = withRequests;
  }

  async read({ name, open }: LogSource): Promise<void> {
    this.#files.push(name);
    this.#line = 0;
    this.#session = undefined;
    this.#part = undefined;
    let cutShort: string | undefined;
    try {
      for await (const lines of linesOf(open())) {
        for (const line of lines) {
          if (cutShort !== undefined) this.#fields.parse(cutShort);
          this.#line += 1;
          const fields = line === "" ? {} : this.#fields.tryParse(line);
          if (fields === undefined) cutShort = line;
          else if (line !== "") this.#accept(fields);
        }
      }
      // Only the last line may be cut short: its process was killed.
      this.#torn += Number(cutShort !== undefined);
    } catch (error) {
      if (error instanceof LogError) throw error;
      if (error instanceof LineTooLongError) throw this.#error(error.message);
      throw new LogError(`${name}: cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  finish(): AttemptsRead {
    let incomplete = 0;
    for (const session of this.#sessions.values()) incomplete += Number(this.#doubtGaps(session));
    return {
      files: this.#files,
      rules: this.#rules,
      records: this.#records,
      asked: this.#asked,
      hidden: this.#hidden,
      isSecret: this.#isSecret,
      doubts: this.#doubts,
      sessions: this.#sessions.size,
      incomplete,
      lost: this.#lost,
      torn: this.#torn,
      sample: this.#sample,
    };
  }

  /** Whether something is missing: what was given back there is not in the log. */
  #doubtGaps({ parts, hasEnded }: SessionParts): boolean {
    const inOrder = [...parts].sort(([a], [b]) => a - b);
    let before: number | undefined;
    let toUs = Number.NEGATIVE_INFINITY;
    let isWhole = true;
    for (const [number, part] of inOrder) {
      if (number !== (before ?? 0) + 1) {
        isWhole = false;
        this.#doubts.add(undefined, toUs, part.fromUs);
      }
      before = number;
      toUs = Math.max(toUs, part.toUs);
      for (const limiter of part.lostOn) {
        this.#doubts.add(limiter, part.toUs, Number.POSITIVE_INFINITY);
      }
    }
    if (!hasEnded) this.#doubts.add(undefined, toUs, Number.POSITIVE_INFINITY);
    return !(isWhole && hasEnded);
  }

  #accept(fields: LineObject): void {
    if ("sluice" in fields) {
      this.#begin(fields);
      return;
    }
    const { session, part } = this.#opened();
    if ("end" in fields) session.hasEnded = true;
    else if ("lost" in fields) this.#noteLost(fields, part);
    else if ("evicted" in fields) this.#doubts.addStore(this.#fields.text(fields, "store"));
    else if ("policy" in fields && !("key" in fields)) this.#define(fields, part);
    else if ("asked" in fields) this.#request(fields);
    else if ("adjusted" in fields) this.#adjustment(fields, part);
    else this.#record(fields, part);
  }

  #opened(): { session: SessionParts; part: Part } {
    const [session, part] = [this.#session, this.#part];
    if (session !== undefined && part !== undefined) return { session, part };
    throw this.#error('a log of attempts begins with its session, {"sluice":1,"attempts":…}');
  }

  #begin(fields: LineObject): void {
    const { session: name, part: number, sample } = this.#sessionOf(fields);
    const session = this.#sessions.get(name) ?? { parts: new Map(), hasEnded: false };
    this.#sessions.set(name, session);
    if (session.parts.has(number)) {
      throw this.#error(
        `part ${number} of session ${show(name)} is there twice: it would count twice`,
      );
    }
    this.#sample = Math.min(this.#sample, sample);
    const [fromUs, toUs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const part: Part = { rules: new Map(), fromUs, toUs, lostOn: new Set() };
    session.parts.set(number, part);
    this.#session = session;
    this.#part = part;
  }

  #sessionOf(fields: LineObject): Session {
    const attempts = fields["attempts"];
    if (fields["sluice"] !== FORMAT || typeof attempts !== "object" || attempts === null) {
      throw this.#error(
        `not the beginning of a log of attempts of format ${FORMAT}; other logs cannot be audited together with these`,
      );
    }
    const given = attempts as LineObject;
    return {
      session: this.#fields.text(given, "session"),
      part: this.#fields.whole(given, "part", "a whole number"),
      sample: this.#fields.share(given, "sample"),
    };
  }

  #noteLost(fields: LineObject, part: Part): void {
    this.#lost += this.#fields.whole(fields, "lost", "a whole number");
    for (const limiter of this.#fields.texts(fields, "gaveBack")) part.lostOn.add(limiter);
  }

  #define(fields: LineObject, part: Part): void {
    const limiter = this.#fields.text(fields, "limiter");
    const store = fields["store"] === undefined ? undefined : this.#fields.text(fields, "store");
    let policies: readonly Policy[];
    try {
      policies = parseLogged(fields["policy"]);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      throw this.#error(`the policy is not valid: ${error.message}`, error);
    }
    const ofSet = fields["set"] === true;
    const text = JSON.stringify([limiter, store, policies, ofSet]);
    let number = this.#ruleNumbers.get(text);
    if (number === undefined) {
      const rule = { limiter, store, policies, ofSet };
      number = this.#rules.push(rule) - 1;
      this.#groups.push(this.#group(rule));
      this.#ruleNumbers.set(text, number);
    }
    part.rules.set(this.#fields.whole(fields, "rule", "a whole number"), number);
  }

  /** The attempts of its rules have their own lines. */
  #request(fields: LineObject): void {
    if (!this.#withRequests) return;
    const place = { file: this.#files.length - 1, line: this.#line };
    this.#asked.push(this.#fields.requests(fields, place));
    for (const { ids } of fields["asked"] as readonly LoggedRequest[]) {
      for (const name in ids) this.#hidden.add(name);
    }
    this.#isSecret ||= fields["secret"] === true;
    if (this.#asked.keys > MOST_KEYS) throw this.#error(TOO_MANY_KEYS);
  }

  #record(fields: LineObject, part: Part): void {
    const place = { file: this.#files.length - 1, line: this.#line };
    const record = this.#fields.record(fields, LOGGED_VERBS, place);
    const limiter = this.#fields.text(fields, "limiter");
    const isKnown = fields["rule"] !== undefined;
    if (!isKnown && record.source === "store") throw this.#error('the record has no "rule"');
    const rule = isKnown ? this.#ruleOf(fields, part) : undefined;
    const group = rule === undefined ? `${limiter}/?` : (this.#groups[rule] as string);
    const decider = rule === undefined ? undefined : this.#deciderOf(fields, rule);
    this.#push({ ...record, key: `${group} ${record.key}`, rule, decider }, limiter, part);
    // The store did not answer a refund: it may do it later.
    const isLost = record.source !== "store" && record.cost > 0;
    if (isLost && GIVING_BACK.has(record.verb)) {
      this.#doubts.add(limiter, part.toUs, Number.POSITIVE_INFINITY);
    }
  }

  /** Which of the rule's policies the decision names. */
  #deciderOf(fields: LineObject, rule: number): number | undefined {
    const { policies } = this.#rules[rule] as AttemptPolicies;
    const at = policies.findIndex(({ name }) => name === fields["policy"]);
    return at < 0 ? undefined : at;
  }

  #adjustment(fields: LineObject, part: Part): void {
    const verb = this.#fields.choice(fields, "verb", LOGGED_VERBS);
    const rule = this.#ruleOf(fields, part);
    const { limiter } = this.#rules[rule] as AttemptPolicies;
    if (fields["atUs"] === undefined) {
      this.#doubts.givesBack.add(limiter);
      if (GIVING_BACK.has(verb)) {
        this.#doubts.add(limiter, part.toUs, Number.POSITIVE_INFINITY);
      }
      return;
    }
    const record: LogRecord = {
      atUs: this.#fields.whole(fields, "atUs", "whole microseconds since 1970"),
      readyAtUs: undefined,
      key: `${this.#groups[rule] as string} ${this.#fields.text(fields, "key")}`,
      verb,
      maxWaitUs: undefined,
      cost: 0,
      allowed: true,
      granted: this.#fields.units(fields, "adjusted"),
      remaining: 0,
      retryAfterMs: 0,
      resetAfterMs: 0,
      reason: "ok",
      source: "store",
      rule,
      file: this.#files.length - 1,
      line: this.#line,
    };
    this.#push(record, limiter, part);
  }

  #push(record: LogRecord, limiter: string, part: Part): void {
    if (GIVING_BACK.has(record.verb)) this.#doubts.givesBack.add(limiter);
    // Only the store's own clock says when: others may be far from it.
    if (record.source === "store") {
      for (const lostOn of part.lostOn) this.#doubts.add(lostOn, part.toUs, record.atUs);
      part.lostOn.clear();
      part.fromUs = Math.min(part.fromUs, record.atUs);
      part.toUs = Math.max(part.toUs, record.atUs);
    }
    this.#records.push(record);
    if (this.#records.keys > MOST_KEYS) throw this.#error(TOO_MANY_KEYS);
  }

  #ruleOf(fields: LineObject, part: Part): number {
    const number = this.#fields.whole(fields, "rule", "a whole number");
    const rule = part.rules.get(number);
    if (rule !== undefined) return rule;
    throw this.#error(`rule ${number} is not defined before`);
  }

  #error(message: string, cause?: unknown): LogError {
    return new LogError(`${this.#files.at(-1) ?? ""}:${this.#line}: ${message}`, { cause });
  }
}
