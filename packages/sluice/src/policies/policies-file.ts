/** A document in a file, of which every process has its own copy, or all the same one. */
import { startTimer } from "../core/clock.js";
import { digests } from "../core/digest.js";
import { optionReader } from "../core/options.js";
import { type Files, nodeFiles } from "./node-files.js";
import { checkPath } from "./policy-set-options.js";
import type { PolicySource, SeenSource, SourceLook } from "./policy-source.js";

/** Options of `PoliciesFile`. */
export interface PoliciesFileOptions {
  /** JSON; or YAML if it ends in .yaml or .yml and the package `yaml` is installed. Links are followed. */
  readonly path: string;
}

const OPTIONS = optionReader<PoliciesFileOptions>()({ path: checkPath });

/** A file is complete moments after somebody begins to write it. */
const RESTS_MS = 100;
const MOST_RESTS = 20;

/**
 * A document in a file. A change is found within a second, mostly at once; also if a link is replaced by another, as
 * Kubernetes does. A changed file is read when it has stayed the same for 100 ms.
 *
 * @throws InvalidOptionError
 * @example
 * import { PoliciesFile, PolicySet } from "sluice/policies";
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * const path = `${mkdtempSync("/tmp/policies-")}/policies.json`;
 * writeFileSync(path, '{ "rules": [] }');
 * const rules = await PolicySet.open({ source: new PoliciesFile({ path }) });
 * console.log(rules.document.rules.length, rules.status().stale); // 0 undefined
 * await rules.close();
 */
export class PoliciesFile implements PolicySource {
  /** What it is, for people. */
  readonly name: string;
  readonly #path: string;
  readonly #files: Files;
  /** What was last read. */
  #last: { readonly signature: string; readonly mark: string } | undefined;

  constructor(options: PoliciesFileOptions) {
    const { path } = OPTIONS.read(options);
    this.#path = path;
    this.#files = nodeFiles("source");
    this.name = `file ${path}`;
  }

  /** For a PolicySet: whether the file holds another text than the one that it has seen. */
  async look(seen: SeenSource): Promise<SourceLook> {
    const signature = await this.#signatureNow();
    if (signature === undefined) return { found: "lost", why: `there is no ${this.name}` };
    const { mark: known, signature: before } = this.#last ?? {};
    if (signature === before && seen.mark === known) return { found: "same" };
    // At the start nobody is likely to write, and the program waits.
    const rested = before === undefined ? signature : await this.#atRest(signature);
    if (rested === undefined) return { found: "same" };
    const content = await this.#files.read(this.#path);
    const mark = digests.sha256(content);
    // The signature from before the file was read: a write during that gives another signature the next time.
    this.#last = { signature: rested, mark };
    if (mark === seen.mark) return { found: "same" };
    const file = this.#path;
    const text = { content, file, mark, version: undefined, by: undefined, comment: undefined };
    return { found: "text", text };
  }

  /** For a PolicySet: calls `hint` when something in the file's folder changes. */
  watch(hint: () => void): () => void {
    return this.#files.watch(this.#path, hint) ?? (() => {});
  }

  /**
   * The signature of the file, once it stays the same for a moment: half of a YAML file may be a complete document with
   * fewer rules. Another file too may be incomplete: `git checkout` deletes the old one, then writes. Undefined if it keeps
   * changing: the next look sees it again.
   */
  async #atRest(first: string): Promise<string | undefined> {
    let last = first;
    for (let count = 0; count < MOST_RESTS; count++) {
      await pause(RESTS_MS);
      const now = await this.#signatureNow();
      if (now === undefined || now === last) return now;
      last = now;
    }
    return undefined;
  }

  /** What changes when the file does, or is another one. */
  async #signatureNow(): Promise<string | undefined> {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await this.#files.stat(this.#path);
      return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    startTimer(ms, resolve);
  });
}
