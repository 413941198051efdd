/** The logs that a command line names. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { LogSource } from "sluice/audit";
import type { Progress } from "../terminal/progress.js";
import type { Io } from "../terminal/terminal.js";

/** A file, or standard input for "-". */
export function logSource(file: string, io: Io): LogSource {
  return file === "-"
    ? { name: "(standard input)", open: () => io.stdin }
    : { name: file, open: () => createReadStream(file) };
}

/** Files that show how much of them is read; but not if one has no known size. */
export async function watchedSources(
  files: readonly string[],
  io: Io,
  progress: Progress,
): Promise<readonly LogSource[]> {
  const sources = files.map((file) => logSource(file, io));
  const sizes = await Promise.all(files.map(sizeOf));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (!Number.isFinite(total) || total === 0) return sources;
  let read = 0;
  return sources.map(({ name, open }) => ({
    name,
    async *open() {
      for await (const chunk of open()) {
        read += chunk.length;
        progress.update(Math.min(read, total), total, "bytes read");
        yield chunk;
      }
    },
  }));
}

/** Bytes; NaN if unknown: reading the file then says what is wrong. */
async function sizeOf(file: string): Promise<number> {
  try {
    return file === "-" ? Number.NaN : (await stat(file)).size;
  } catch {
    return Number.NaN;
  }
}
