/** A document that all processes of a store share: published with compare-and-set, with the versions before it. */
import { monotonicMs } from "../core/clock.js";
import { digests } from "../core/digest.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkName } from "../core/key.js";
import { byDefault, checkCount, aCount, optional, optionReader } from "../core/options.js";
import {
  type DocumentEntry,
  type DocumentNote,
  type DocumentStore,
  KEPT_VERSIONS,
} from "../stores/document-store.js";
import { checkStore, type Store } from "../stores/store.js";
import { CHANGE_NOTE, type ChangeNote } from "./change-note.js";
import { PolicyConflictError } from "./conflict-error.js";
import type { PoliciesDocument } from "./document.js";
import { documentsOf } from "./documents-in-memory.js";
import { parsePolicies } from "./parse.js";
import type {
  ClockReading,
  PolicySource,
  SeenSource,
  SourceLook,
  SourceText,
} from "./policy-source.js";
import { printPolicies } from "./print.js";
import { Problems } from "./problems.js";
import { isTooLong, TOO_LONG } from "./source-node.js";

/** Options of `PublishedPolicies`. */
export interface PublishedPoliciesOptions {
  /** The store that keeps it: a RedisStore, for all processes; a store inside the process, for this one. */
  readonly store: Store;
  /** Of the document: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "sluice". Part of its key in the store. */
  readonly name?: string | undefined;
}

/** Options of `publish`. */
export interface PublicationOptions extends ChangeNote {
  /** The version that the new one replaces, 0 for the first. If another one is in force, nothing is published. */
  readonly expected: number;
}

/** Options of `rollback`. */
export interface RollbackOptions extends ChangeNote {
  /** As of `publish`; default: the version in force. */
  readonly expected?: number | undefined;
}

const OPTIONS = optionReader<PublishedPoliciesOptions>()({
  store: checkStore,
  name: byDefault("sluice", checkName),
});
const aVersion = aCount(0, Number.MAX_SAFE_INTEGER);
const PUBLICATION = optionReader<PublicationOptions>()({
  expected: aVersion,
  ...CHANGE_NOTE.checks,
});
const ROLLBACK = optionReader<RollbackOptions>()({
  expected: optional(aVersion),
  ...CHANGE_NOTE.checks,
});

/** A version of the document, and what is known of it. */
export interface PublishedVersion extends DocumentNote {
  /** The document of the version. */
  readonly document: PoliciesDocument;
}

/**
 * The document of a store that processes follow: `PolicySet.open({ source: published })`. Each version is published with
 * the one that it replaces, so that of two editors the later one is refused; the last 20 are kept.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore } from "sluice";
 * import { PublishedPolicies } from "sluice/policies";
 * const published = new PublishedPolicies({ store: new MemoryStore(), name: "edge" });
 * const api = (limit: number) => ({
 *   rules: [{ name: "api", key: ["user"], policy: { algorithm: "token-bucket" as const, limit, period: "1m" } }],
 * });
 * const first = await published.publish(api(100), { expected: 0, by: "ana", comment: "first limits" });
 * await published.publish(api(50), { expected: first, by: "ben" });
 * console.log(await published.rollback(first, { by: "ana" })); // 3
 * console.log((await published.history()).map(({ version, by }) => `${version} ${by}`)); // [ '3 ana', '2 ben', '1 ana' ]
 */
export class PublishedPolicies implements PolicySource {
  /** What it is, for people. */
  readonly name: string;
  readonly #name: string;
  readonly #documents: DocumentStore;
  #heard: ClockReading | undefined;
  /** The highest version that this process knows of. */
  #seen = 0;

  constructor(options: PublishedPoliciesOptions) {
    const { store, name } = OPTIONS.read(options);
    this.#name = name;
    this.#documents = documentsOf(store);
    this.name = `published policies "${name}"`;
  }

  /**
   * The version in force; 0 if there is none.
   *
   * @throws StoreUnavailableError, StoreTimeoutError
   * @example
   * import { MemoryStore } from "sluice";
   * import { PublishedPolicies } from "sluice/policies";
   * const published = new PublishedPolicies({ store: new MemoryStore() });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * const document = { rules: [{ name: "api", key: ["user"], policy }] };
   * console.log(await published.version()); // 0
   * await published.publish(document, { expected: 0 });
   * console.log(await published.version()); // 1
   */
  async version(): Promise<number> {
    return (await this.#head(0)).version;
  }

  /**
   * A version, or the one in force; undefined if it is not kept.
   * @throws InvalidOptionError if what is kept is not a valid document; StoreUnavailableError, StoreTimeoutError
   * @example
   * import { MemoryStore } from "sluice";
   * import { PublishedPolicies } from "sluice/policies";
   * const published = new PublishedPolicies({ store: new MemoryStore() });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * const document = { rules: [{ name: "api", key: ["user"], policy }] };
   * await published.publish(document, { expected: 0, by: "ana" });
   * console.log((await published.read())?.document.rules?.length, await published.read(7)); // 1 undefined
   */
  async read(version?: number): Promise<PublishedVersion | undefined> {
    if (version !== undefined) checkCount("version", version, 1, Number.MAX_SAFE_INTEGER);
    const entry = await this.#documents.read(this.#name, version);
    if (entry === undefined) return undefined;
    const { text, ...note } = entry;
    const { document } = parsePolicies(text, { file: this.#fileOf(note.version) });
    return { ...note, document: { ...document, version: note.version } };
  }

  /**
   * Checks the document, then makes it the version in force: all processes that follow it have it after a second at
   * most, mostly after some 10 ms.
   * @returns the new version; the document's own `version` counts for nothing
   * @throws InvalidOptionError for a document that is not valid
   * @throws PolicyConflictError if another version than `expected` is in force; its `version` says which;
   * StoreUnavailableError, StoreTimeoutError: then it may have been published
   * @example
   * import { MemoryStore } from "sluice";
   * import { PublishedPolicies } from "sluice/policies";
   * const published = new PublishedPolicies({ store: new MemoryStore() });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * const document = { rules: [{ name: "api", key: ["user"], policy }] };
   * console.log(await published.publish(document, { expected: 0, by: "ana", comment: "first" })); // 1
   */
  async publish(document: PoliciesDocument | string, options: PublicationOptions): Promise<number> {
    const { expected, by, comment } = PUBLICATION.read(options);
    const { version: _, ...content } = parsePolicies(document).document;
    const text = printPolicies(content);
    checkLength(text);
    const { published, version } = await this.#documents.publish(this.#name, {
      text,
      digest: digests.sha256(text),
      by,
      comment,
      expected,
      seen: this.#seen,
    });
    if (!published) throw new PolicyConflictError(expected, version);
    this.#seen = Math.max(this.#seen, version);
    return version;
  }

  /**
   * Publishes an earlier version again, as a new one.
   * @returns the new version
   * @throws InvalidOptionError if that version is not kept
   * @throws PolicyConflictError, StoreUnavailableError, StoreTimeoutError as `publish`
   * @example
   * import { MemoryStore } from "sluice";
   * import { PublishedPolicies } from "sluice/policies";
   * const published = new PublishedPolicies({ store: new MemoryStore() });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * const document = { rules: [{ name: "api", key: ["user"], policy }] };
   * await published.publish(document, { expected: 0 });
   * await published.publish({ rules: [] }, { expected: 1 });
   * console.log(await published.rollback(1, { by: "ana" })); // 3
   */
  async rollback(version: number, options: RollbackOptions = {}): Promise<number> {
    const checked = ROLLBACK.read(options);
    const { expected = await this.version(), by, comment = `rollback to ${version}` } = checked;
    const earlier = await this.read(version);
    if (earlier === undefined) {
      const allowed = `one of the last ${KEPT_VERSIONS} versions, which history() lists`;
      throw new InvalidOptionError("version", version, allowed);
    }
    return this.publish(earlier.document, { expected, by, comment });
  }

  /**
   * Who published which version, when and why: of the last 20, the newest first.
   *
   * @throws StoreUnavailableError, StoreTimeoutError
   * @example
   * import { MemoryStore } from "sluice";
   * import { PublishedPolicies } from "sluice/policies";
   * const published = new PublishedPolicies({ store: new MemoryStore() });
   * const policy = { algorithm: "gcra", limit: 5, period: "1m" } as const;
   * const document = { rules: [{ name: "api", key: ["user"], policy }] };
   * await published.publish(document, { expected: 0, by: "ana" });
   * console.log((await published.history()).map(({ version, by }) => `${version} ${by}`)); // [ '1 ana' ]
   */
  history(): Promise<readonly DocumentNote[]> {
    return this.#documents.history(this.#name);
  }

  /** For a PolicySet: whether there is a version above those that it has seen. */
  async look(seen: SeenSource): Promise<SourceLook> {
    const { version, digest } = await this.#head(seen.version);
    const mark = markOf(version, digest);
    if (mark === seen.mark) return { found: "same" };
    if (version === 0) return { found: "lost", why: `${this.name} has no document` };
    if (version < seen.version || (version === seen.version && seen.mark !== "")) {
      const why = `${this.name} is at version ${version}, and ${seen.version} is in force here`;
      return { found: "older", why };
    }
    const entry = await this.#documents.read(this.#name);
    // It was lost, or there was another, between the two questions: the next look says.
    if (entry === undefined || entry.version < version) return { found: "same" };
    return { found: "text", text: this.#textOf(entry) };
  }

  /** For a PolicySet: the version before one that is not in force yet. */
  async before(version: number): Promise<SourceText | undefined> {
    const notes = await this.#documents.history(this.#name);
    const earlier = notes.find((note) => note.version < version);
    const entry = earlier && (await this.#documents.read(this.#name, earlier.version));
    return entry && this.#textOf(entry);
  }

  /** For a PolicySet: calls `hint` soon after most publications. */
  watch(hint: () => void): () => void {
    const watch = this.#documents.watch(this.#name, hint);
    return () => {
      watch.end();
    };
  }

  /** For a PolicySet: the store's clock at the last look. */
  heardUs(): ClockReading | undefined {
    return this.#heard;
  }

  #textOf({ text, version, digest, by, comment }: DocumentEntry): SourceText {
    const mark = markOf(version, digest);
    return { content: text, file: this.#fileOf(version), mark, version, by, comment };
  }

  #fileOf(version: number): string {
    return `${this.#name}@${version}`;
  }

  async #head(seen: number): ReturnType<DocumentStore["head"]> {
    this.#seen = Math.max(this.#seen, seen);
    const sentMs = monotonicMs();
    const head = await this.#documents.head(this.#name, this.#seen);
    this.#seen = Math.max(this.#seen, head.version);
    // Half the way there, half the way back.
    this.#heard = { thereUs: head.nowUs, hereMs: (sentMs + monotonicMs()) / 2 };
    return head;
  }
}

/** A value, or a text in another format, may be longer as it is published than those who follow read. */
function checkLength(text: string): void {
  if (!isTooLong(text)) return;
  const problems = new Problems(undefined);
  problems.add(undefined, "", `the document is refused: as JSON it is ${TOO_LONG}`);
  problems.end();
}

/** A version that a server lost may come again with another text. */
function markOf(version: number, digest: string): string {
  return `${version} ${digest}`;
}
