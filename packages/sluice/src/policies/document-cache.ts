/** A copy on this machine's disk of what was last in force, for a start without its source. */
import { type LoadedPolicies, loadedOf } from "./load.js";
import type { Files } from "./node-files.js";
import { parsePolicies } from "./parse.js";
import { printPolicies } from "./print.js";

/** What the file holds, as JSON. */
interface Copy {
  readonly mark: string;
  readonly version: number | undefined;
  readonly text: string;
}

export class DocumentCache {
  readonly #files: Files;
  readonly #path: string;
  #written: Promise<void> = Promise.resolve();

  constructor(files: Files, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** Undefined if there is no good copy. */
  async read(): Promise<LoadedPolicies | undefined> {
    try {
      const { text, ...copy } = JSON.parse(await this.#files.read(this.#path)) as Copy;
      // Not as a text: what was in force may be longer when it is printed than a text may be.
      const { document } = parsePolicies(JSON.parse(text));
      // Nobody hears of the document that a set begins with, so nobody asks who made it.
      return loadedOf(document, { ...copy, by: undefined, comment: undefined });
    } catch {
      return undefined;
    }
  }

  /** One after another; rejects if it cannot be written. */
  write({ compiled, mark }: LoadedPolicies): Promise<void> {
    const { document } = compiled;
    const { version } = document;
    const copy: Copy = { mark, version, text: printPolicies(document) };
    const text = JSON.stringify(copy);
    this.#written = this.#written.catch(() => {}).then(() => this.#files.write(this.#path, text));
    return this.#written;
  }
}
