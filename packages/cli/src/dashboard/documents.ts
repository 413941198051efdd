/** The document and its versions: published ones in the store, those of a program in this process. */
import {
  diffPolicies,
  type PoliciesDocument,
  PolicyConflictError,
  type PolicySet,
  parsePolicies,
  printPolicies,
  PublishedPolicies,
} from "sluice/policies";
import { Refusal } from "./answers.js";
import { diffLines } from "./diff-lines.js";
import type { DocumentText, Version } from "./wire.js";

/** Who changes the document, and why. */
export interface Note {
  readonly by: string | undefined;
  readonly comment: string | undefined;
}

type VersionName = number | string;

const MOST_KEPT = 20;

interface Kept extends Version {
  readonly document: PoliciesDocument;
}

export class Documents {
  readonly #policies: PolicySet;
  readonly #end: () => void;
  /** Of a document that the program holds: those that were in force, the newest first. */
  #kept: Kept[] = [];

  constructor(policies: PolicySet, nowMs: () => number) {
    this.#policies = policies;
    this.#keep({ who: undefined, comment: undefined }, nowMs());
    this.#end = policies.events.on("rules", ({ by, comment, atUs }) => {
      this.#keep({ who: by, comment }, Math.floor(atUs / 1000));
    });
  }

  /** What is in force, to be edited. */
  now(): DocumentText {
    const { version, document } = this.#policies;
    return { version, document, text: textOf(document) };
  }

  /** Whether a version of which the history tells can come in force again. */
  isKept(version: VersionName): boolean {
    if (version === this.#policies.version) return false;
    if (this.#publishedSource() !== undefined) return true;
    return this.#isValue() && this.#kept.some((each) => each.version === version);
  }

  /** The newest first. */
  async versions(): Promise<readonly Version[]> {
    const published = this.#publishedSource();
    if (published === undefined) {
      return this.#kept.map(({ version, who, atMs, comment }) => ({ version, who, atMs, comment }));
    }
    const history = await published.history();
    return history.map(({ version, by, comment, atMs }) => ({ version, who: by, atMs, comment }));
  }

  /** What changes from one version to another or to a text; by default from the one in force, or the one before `to`. */
  async diff(
    from: VersionName | undefined,
    to: VersionName | undefined,
    text: string | undefined,
  ): Promise<readonly string[]> {
    if (text !== undefined) {
      const before = await this.#documentAt(from);
      return diffLines(diffPolicies(before, parsePolicies(text).document));
    }
    const after = await this.#documentAt(to);
    const before = from === undefined ? await this.#before(to) : await this.#documentAt(from);
    return diffLines(diffPolicies(before, after));
  }

  /**
   * Puts a document in force, if `base` still is.
   *
   * @throws Refusal for a file; PolicyConflictError; InvalidPoliciesError
   */
  async publish(document: PoliciesDocument, base: VersionName, note: Note): Promise<VersionName> {
    const published = this.#publishedSource();
    if (published !== undefined) {
      const expected = this.#numberOf(base);
      const version = await published.publish(document, { expected, ...note });
      await this.#policies.reload();
      return version;
    }
    this.#checkValue();
    const { version: now } = this.#policies;
    if (now !== base) throw changedMeanwhile(now);
    const { version: _, ...content } = document;
    this.#policies.replace(content, note);
    return this.#policies.version;
  }

  /** Puts an earlier version in force again, as a new one. @throws as `publish` */
  async rollback(to: VersionName, base: VersionName, note: Note): Promise<VersionName> {
    const { by, comment = `back to version ${to}` } = note;
    const published = this.#publishedSource();
    if (published !== undefined) {
      const expected = this.#numberOf(base);
      const version = await published.rollback(this.#numberOf(to), { expected, by, comment });
      await this.#policies.reload();
      return version;
    }
    this.#checkValue();
    return this.publish(await this.#documentAt(to), base, { by, comment });
  }

  close(): void {
    this.#end();
  }

  /** Of the first one nothing. */
  async #before(version: VersionName | undefined): Promise<PoliciesDocument | undefined> {
    const versions = (await this.versions()).map((each) => each.version);
    const at = versions.indexOf(version ?? this.#policies.version);
    const earlier = at < 0 ? undefined : versions[at + 1];
    return earlier === undefined ? undefined : this.#documentAt(earlier);
  }

  #publishedSource(): PublishedPolicies | undefined {
    const { source } = this.#policies;
    return source instanceof PublishedPolicies ? source : undefined;
  }

  #isValue(): boolean {
    return this.#policies.source === undefined;
  }

  /** @throws Refusal */
  #checkValue(): void {
    if (this.#isValue()) return;
    throw new Refusal(
      409,
      "This document is changed where it is",
      `it comes from ${this.#policies.source?.name ?? "a source"}: change that, and it is in force a second later`,
    );
  }

  async #documentAt(version: VersionName | undefined): Promise<PoliciesDocument> {
    const { version: now, document } = this.#policies;
    if (version === undefined || version === now) return document;
    const published = this.#publishedSource();
    const found =
      published === undefined
        ? this.#kept.find((each) => each.version === version)
        : await published.read(this.#numberOf(version));
    if (found !== undefined) return found.document;
    throw new Refusal(404, "There is no such version", `version ${version} is not kept any more`);
  }

  #numberOf(version: VersionName): number {
    if (typeof version === "number" && Number.isSafeInteger(version) && version >= 0) {
      return version;
    }
    throw changedMeanwhile(this.#policies.version);
  }

  #keep({ who, comment }: Pick<Version, "who" | "comment">, atMs: number): void {
    if (!this.#isValue()) return;
    const { version, document } = this.#policies;
    this.#kept = this.#kept.filter((each) => each.version !== version);
    this.#kept.unshift({ version, document, who, comment, atMs });
    this.#kept.length = Math.min(this.#kept.length, MOST_KEPT);
  }
}

function changedMeanwhile(now: VersionName): Error {
  if (typeof now === "number") return new PolicyConflictError(0, now);
  return new Refusal(
    409,
    "The document has changed meanwhile",
    "another one is in force: load it, and make your change again",
  );
}

/** The version is the publisher's, and no part of what is edited. */
function textOf(document: PoliciesDocument): string {
  const { version: _, ...content } = document;
  return printPolicies(content);
}
