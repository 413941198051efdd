/** What the page asks for beside the state: each as a function of the body and of who asks. */
import { type PoliciesDocument, parsePolicies } from "sluice/policies";
import { type AdminMessage, audited } from "./audit.js";
import { notValid, Refusal } from "./answers.js";
import type { ChangeList } from "./changes.js";
import type { Documents } from "./documents.js";
import type { KeyChanges } from "./key-changes.js";
import type { KeyLookUp } from "./look-up.js";
import type { DashboardOptions } from "./options.js";
import type { KeyPermits } from "./permits.js";
import { entriesIn, type Fields, neededTextIn, textIn } from "./read-body.js";
import { asCandidates, forAll, forSome } from "./rollouts.js";
import type { ChangeTrials } from "./try-change.js";
import type { KeyChange, PermitsAsked, Visitor } from "./wire.js";

export interface ActionParts {
  readonly options: DashboardOptions;
  readonly documents: Documents;
  readonly changes: ChangeList;
  readonly looks: KeyLookUp;
  readonly keys: KeyChanges;
  readonly permits: KeyPermits;
  readonly trials: ChangeTrials;
  readonly nowMs: () => number;
  readonly failed: (error: unknown) => void;
}

const LONGEST_DOCUMENT = 1_048_576;
const LONGEST_NAME = 64;
const LONGEST_ID = 64;
const LONGEST_COMMENT = 500;
const LONGEST_KEY = 4096;
const MOST_MINUTES = 15;
const MODES: ReadonlySet<unknown> = new Set(["shadow", "off", null]);
const KEY_CHANGES: ReadonlySet<unknown> = new Set<KeyChange["change"]>([
  "block",
  "unblock",
  "reset",
  "override",
  "clear-override",
]);

export class Actions {
  readonly #parts: ActionParts;

  constructor(parts: ActionParts) {
    this.#parts = parts;
  }

  async lookUp(body: Fields): Promise<unknown> {
    const entries = entriesIn(body);
    const rule = textIn(body, "rule", LONGEST_NAME);
    const id = textIn(body, "id", LONGEST_ID);
    const { looks } = this.#parts;
    if (id !== undefined && entries === undefined) {
      return looks.byId(neededTextIn(body, "rule", LONGEST_NAME), id);
    }
    if (entries === undefined) throw notValid("entries are missing");
    return looks.byEntries({ entries, rule, plan: textIn(body, "plan", LONGEST_NAME) });
  }

  async changeKey(body: Fields, { who }: Visitor): Promise<unknown> {
    const { changes, keys, nowMs } = this.#parts;
    const change = body["change"];
    if (!KEY_CHANGES.has(change)) {
      throw notValid("change must be block, unblock, reset, override or clear-override");
    }
    const untilMs = body["untilMs"];
    if (untilMs !== undefined && untilMs !== null && typeof untilMs !== "number") {
      throw notValid("untilMs must be a number");
    }
    if (change === "override" && typeof untilMs === "number" && untilMs <= nowMs()) {
      throw notValid("the time until which the override is to last is over");
    }
    const comment = textIn(body, "comment", LONGEST_COMMENT);
    const made = await keys.make(
      {
        rule: neededTextIn(body, "rule", LONGEST_NAME),
        entries: entriesIn(body),
        id: textIn(body, "id", LONGEST_ID),
        change: change as KeyChange["change"],
        for: textIn(body, "for", LONGEST_NAME),
        override: body["override"],
        untilMs: untilMs ?? undefined,
        comment,
      },
      nameOf(who),
    );
    // Overrides are versions of the document, which the list has from there.
    if (made.kind !== "override") {
      const { kind, text } = made;
      changes.add({ atMs: nowMs(), who: nameOf(who), kind, text, comment });
    }
    const { kind, target, before, after } = made;
    this.#audit({ who, action: kind, target, before, after, comment });
    return made.looked;
  }

  permits(body: Fields): Promise<unknown> {
    return this.#parts.permits.list(permitsIn(body));
  }

  async endPermits(body: Fields, { who }: Visitor): Promise<unknown> {
    const { permits, changes, nowMs } = this.#parts;
    const comment = textIn(body, "comment", LONGEST_COMMENT);
    const { target, text, ended } = await permits.end(permitsIn(body));
    changes.add({ atMs: nowMs(), who: nameOf(who), kind: "reset", text, comment });
    const [before, after] = [{ held: ended }, { held: 0 }];
    this.#audit({ who, action: "reset", target, before, after, comment });
    return { ended };
  }

  setMode(body: Fields, { who }: Visitor): void {
    const { policies } = this.#parts.options;
    const { mode } = body;
    if (!MODES.has(mode)) throw notValid("mode must be shadow, off, or null");
    const before = policies.status().mode;
    const comment = textIn(body, "comment", LONGEST_COMMENT);
    policies.setMode((mode as "shadow" | "off" | null) ?? undefined, {
      by: nameOf(who),
      comment,
    });
    const after = policies.status().mode;
    this.#audit({ who, action: "mode", target: "this process", before, after, comment });
  }

  document(): unknown {
    return this.#parts.documents.now();
  }

  async versions(): Promise<unknown> {
    return { versions: await this.#parts.documents.versions() };
  }

  async diff(body: Fields): Promise<unknown> {
    const text = textIn(body, "text", LONGEST_DOCUMENT);
    const lines = await this.#parts.documents.diff(
      versionIn(body, "from"),
      versionIn(body, "to"),
      text,
    );
    return { lines };
  }

  async attempt(body: Fields): Promise<unknown> {
    const minutes = body["minutes"];
    const isGood =
      typeof minutes === "number" &&
      Number.isInteger(minutes) &&
      minutes >= 1 &&
      minutes <= MOST_MINUTES;
    if (!isGood) throw notValid(`minutes must be a whole number from 1 to ${MOST_MINUTES}`);
    return this.#parts.trials.of(neededTextIn(body, "text", LONGEST_DOCUMENT), minutes);
  }

  async publish(body: Fields, visitor: Visitor): Promise<unknown> {
    const base = neededVersionIn(body, "base");
    const { document } = parsePolicies(neededTextIn(body, "text", LONGEST_DOCUMENT));
    const { policies } = this.#parts.options;
    const next = byWay(policies.document, document, body["how"]);
    return this.#publishing("publish", body, visitor, (note) =>
      this.#parts.documents.publish(next, base, note),
    );
  }

  async rollBack(body: Fields, visitor: Visitor): Promise<unknown> {
    const to = neededVersionIn(body, "to");
    const base = neededVersionIn(body, "base");
    return this.#publishing("rollback", body, visitor, (note) =>
      this.#parts.documents.rollback(to, base, note),
    );
  }

  async #publishing(
    action: AdminMessage["action"],
    body: Fields,
    { who }: Visitor,
    publish: (note: {
      by: string | undefined;
      comment: string | undefined;
    }) => Promise<number | string>,
  ): Promise<unknown> {
    const { policies } = this.#parts.options;
    const before = policies.version;
    const comment = textIn(body, "comment", LONGEST_COMMENT);
    const version = await publish({ by: nameOf(who), comment });
    const target = policies.source?.name ?? "the document of this process";
    this.#audit({ who, action, target, before, after: version, comment });
    await this.#parts.changes.read();
    return { version };
  }

  #audit(message: Omit<AdminMessage, "atMs" | "who"> & { readonly who: string }): void {
    const { nowMs, options, failed } = this.#parts;
    const { who, ...others } = message;
    audited({ atMs: nowMs(), who: nameOf(who), ...others }, options.onChange, failed);
  }
}

function permitsIn(body: Fields): PermitsAsked {
  return {
    semaphore: neededTextIn(body, "semaphore", LONGEST_KEY),
    key: neededTextIn(body, "key", LONGEST_KEY),
    slot: textIn(body, "slot", LONGEST_KEY),
  };
}

function nameOf(who: string): string | undefined {
  return who === "" ? undefined : who;
}

/** @throws Refusal */
function byWay(now: PoliciesDocument, edited: PoliciesDocument, how: unknown): PoliciesDocument {
  if (how === "now") return forAll(now, edited);
  if (how === "candidate") return asCandidates(now, edited);
  const isPercent = typeof how === "number" && how >= 1 && how <= 99;
  if (isPercent) return forSome(now, edited, how);
  throw notValid('how must be "now", "candidate" or a percentage from 1 to 99');
}

/** @throws Refusal */
function versionIn(body: Fields, name: string): number | string | undefined {
  const value = Object.hasOwn(body, name) ? body[name] : undefined;
  if (value === undefined || value === null || typeof value === "number") return value ?? undefined;
  return textIn(body, name, LONGEST_NAME);
}

function neededVersionIn(body: Fields, name: string): number | string {
  const value = versionIn(body, name);
  if (value !== undefined) return value;
  throw new Refusal(400, "That is not valid", `${name} is missing: the version that was edited`);
}
