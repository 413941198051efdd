/** Files, if the platform has them. No import names a module of Node, so that the library can be bundled for the edge. */
import type { BigIntStats } from "node:fs";
import { InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";

/** What policies do with files. */
export interface Files {
  read(path: string): Promise<string>;
  /** Of what a link leads to. */
  stat(path: string): Promise<BigIntStats>;
  /** All of it or nothing, whenever the process ends. */
  write(path: string, text: string): Promise<void>;
  /**
   * Calls `changed` when something in the folder of `path` changes; the returned function ends that. Undefined if that
   * fails.
   */
  watch(path: string, changed: () => void): (() => void) | undefined;
}

/** @throws InvalidOptionError if the platform has no files */
export function nodeFiles(option: string): Files {
  const hasModules = typeof process === "object" && "getBuiltinModule" in process;
  const fs = hasModules ? process.getBuiltinModule("node:fs") : undefined;
  const path = hasModules ? process.getBuiltinModule("node:path") : undefined;
  if (fs === undefined || path === undefined) {
    const allowed = "a document, or published policies: this platform has no files";
    throw new InvalidOptionError(option, new InWords("a file"), allowed);
  }
  return {
    read: (file) => fs.promises.readFile(file, "utf8"),
    stat: (file) => fs.promises.stat(file, { bigint: true }),
    async write(file, text) {
      const beside = `${file}.${process.pid}.tmp`;
      try {
        await fs.promises.writeFile(beside, text, { mode: 0o600 });
        await fs.promises.rename(beside, file);
      } catch (error) {
        await fs.promises.rm(beside, { force: true }).catch(() => {});
        throw error;
      }
    },
    watch(file, changed) {
      try {
        // The folder, not the file: editors and Kubernetes replace it by another file, or another link.
        const watcher = fs.watch(path.dirname(file), { persistent: false }, changed);
        watcher.on("error", () => {
          watcher.close();
        });
        return () => {
          watcher.close();
        };
      } catch {
        return undefined;
      }
    },
  };
}
