/** The last changes, by anyone: of the document as its source tells, of the switch and of keys as they are made here. */
import {
  type DocumentNote,
  type PolicySet,
  PublishedPolicies,
  type RuleChange,
} from "sluice/policies";
import { changesText } from "./diff-lines.js";
import type { Change } from "./wire.js";

const MOST_CHANGES = 50;
const LONGEST = 300;

/** A change that was made here, and is no version of the document. */
export type OwnChange = Pick<Change, "atMs" | "who" | "kind" | "text" | "comment">;

/** What is known of a version beside its note. */
interface Told {
  readonly kind: Change["kind"];
  readonly text: string;
}

export class ChangeList {
  readonly #policies: PolicySet;
  readonly #changed: () => void;
  readonly #ends: readonly (() => void)[];
  /** The newest first. */
  readonly #own: (OwnChange & { readonly id: string })[] = [];
  /** Of a published document, the newest first. */
  #notes: readonly DocumentNote[] = [];
  /** What the versions have changed that came in force while this process watched. */
  readonly #told = new Map<number | string, Told>();
  /** Of a document that is not published: what came in force here. */
  readonly #seen: Change[] = [];
  #made = 0;
  #reading = Promise.resolve(true);
  #next: Promise<boolean> | undefined;

  /** `changed` is called whenever the list is another. */
  constructor(policies: PolicySet, changed: () => void) {
    this.#policies = policies;
    this.#changed = changed;
    this.#ends = [
      policies.events.on("rules", ({ atUs, by, comment, before, after, changes }) => {
        const atMs = Math.floor(atUs / 1000);
        this.#applied({ atMs, who: by, comment }, before, after, changes);
      }),
      policies.events.on("reload", () => {
        void this.read();
      }),
    ];
  }

  /** Reads who published what, if that is kept; whether it could. Never rejects: what was read last stays. */
  read(): Promise<boolean> {
    // One that is under way may have begun before the newest version was there: one more follows, for all who ask meanwhile.
    this.#next ??= this.#reading.then(() => {
      this.#next = undefined;
      this.#reading = this.#readOnce();
      return this.#reading;
    });
    return this.#next;
  }

  async #readOnce(): Promise<boolean> {
    const { source } = this.#policies;
    if (!(source instanceof PublishedPolicies)) return true;
    try {
      this.#notes = await source.history();
      this.#changed();
      return true;
    } catch {
      // The page says that the store is away.
      return false;
    }
  }

  add(change: OwnChange): void {
    this.#made += 1;
    const text = change.text.slice(0, LONGEST);
    this.#own.unshift({ ...change, text, id: `own-${this.#made}` });
    this.#own.length = Math.min(this.#own.length, MOST_CHANGES);
    this.#changed();
  }

  /** The newest first. `isKept` says whether a version can come in force again. */
  list(isKept: (version: number | string) => boolean): readonly Change[] {
    const published = this.#notes.map(({ version, by, comment, atMs }): Change => {
      const { kind = "policies", text = "" } = this.#told.get(version) ?? {};
      return { id: `v${version}`, atMs, who: by, kind, version, text, comment, canRollBack: true };
    });
    const own = this.#own.map((each): Change => {
      return { ...each, version: undefined, canRollBack: false };
    });
    return [...published, ...this.#seen, ...own]
      .sort((a, b) => b.atMs - a.atMs)
      .slice(0, MOST_CHANGES)
      .map((each) => ({
        ...each,
        canRollBack: each.canRollBack && each.version !== undefined && isKept(each.version),
      }));
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #applied(
    note: Pick<Change, "atMs" | "who" | "comment">,
    before: number | string | undefined,
    after: number | string,
    changes: readonly RuleChange[],
  ): void {
    const [only] = changes;
    const isSwitch = before === after && only?.part === "setting" && changes.length === 1;
    if (isSwitch) {
      const text = `switched this process from ${String(only.before)} to ${String(only.after)}`;
      this.add({ ...note, kind: "mode", text });
      return;
    }
    const areOverrides = changes.length > 0 && changes.every(({ part }) => part === "override");
    const kind = areOverrides ? "override" : "policies";
    const text = changesText(changes).slice(0, LONGEST);
    this.#told.set(after, { kind, text });
    const [oldest] = this.#told.keys();
    if (this.#told.size > MOST_CHANGES && oldest !== undefined) this.#told.delete(oldest);
    if (!(this.#policies.source instanceof PublishedPolicies)) {
      this.#made += 1;
      const id = `seen-${this.#made}`;
      this.#seen.unshift({ ...note, id, kind, version: after, text, canRollBack: true });
      this.#seen.length = Math.min(this.#seen.length, MOST_CHANGES);
    }
    this.#changed();
  }
}
