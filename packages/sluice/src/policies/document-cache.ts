/** A copy on this machine's disk of what was last in force, for a start without its source. */
import { type LoadedPolicies, loadedOf } from "./load.js";
import type { Files } from "./node-files.js";
import { parsePolicies } from "./parse.js";
import { printPolicies } from "./print.js";

/** What the file holds, as JSON. */
interface Copy {
  readonly mark: string;
  readonly version: number | undefined;
  readonly by: string | undefined;
  readonly comment: string | undefined;
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
      return loadedOf(parsePolicies(JSON.parse(text)).document, copy);
    } catch {
      return undefined;
    }
  }

  /** One after another; rejects if it cannot be written. */
  write({ compiled, mark, by, comment }: LoadedPolicies): Promise<void> {
    const { document } = compiled;
    const { version } = document;
    const copy: Copy = { mark, version, by, comment, text: printPolicies(document) };
    const text = JSON.stringify(copy);
    this.#written = this.#written.catch(() => {}).then(() => this.#files.write(this.#path, text));
    return this.#written;
  }
}
