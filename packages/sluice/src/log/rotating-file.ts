/** A file that lines are added to, and that is put aside when it is full: FILE becomes FILE.1, that FILE.2, and so on. */
import { type FileHandle, open, rename, rm } from "node:fs/promises";

/** No line is longer: so far back the last whole line of a file must end. */
const TAIL_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** What every log begins with. */
const BEGINNING = '{"sluice":';

export class RotatingFile {
  /** Bytes of whole lines in the file. */
  size = 0;
  readonly #path: string;
  readonly #files: number;
  #handle: FileHandle | undefined;

  /** `files` is how many are kept, with the one that is written. */
  constructor(path: string, files: number) {
    this.#path = path;
    this.#files = files;
  }

  get isOpen(): boolean {
    return this.#handle !== undefined;
  }

  /** Appends to the file. A line that was cut short, by a process that was killed, is removed. */
  async open(): Promise<void> {
    const handle = await open(this.#path, "a+");
    try {
      const { size } = await handle.stat();
      this.size = size;
      if (size > 0) this.size = await wholeLines(handle, size);
      this.#handle = handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Adds whole lines; if that fails, none of them is in the file, as far as the disk allows. */
  async write(lines: string): Promise<void> {
    const bytes = Buffer.from(lines);
    let written = 0;
    try {
      while (written < bytes.length) {
        written += (await this.#opened.write(bytes, written)).bytesWritten;
      }
      this.size += bytes.length;
    } catch (error) {
      await this.#opened.truncate(this.size).catch(() => {});
      await this.close();
      throw error;
    }
  }

  /** Puts the file aside, the oldest one away, and begins a new one. */
  async rotate(): Promise<void> {
    await this.close();
    const nameOf = (age: number): string => (age === 0 ? this.#path : `${this.#path}.${age}`);
    await rm(nameOf(this.#files - 1), { force: true });
    for (let age = this.#files - 2; age >= 0; age--) {
      await rename(nameOf(age), nameOf(age + 1)).catch(unlessMissing);
    }
    await this.open();
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => {});
  }

  get #opened(): FileHandle {
    if (this.#handle === undefined) throw new Error("the file is not open");
    return this.#handle;
  }
}

/** Bytes of whole lines, to which the file is cut. @throws if the file is not one of ours */
async function wholeLines(handle: FileHandle, size: number): Promise<number> {
  const head = (await bytesOf(handle, 0, Math.min(size, BEGINNING.length))).toString("latin1");
  if (!BEGINNING.startsWith(head)) throw new Error("the file is no log of attempts");
  const from = Math.max(0, size - TAIL_BYTES);
  const newline = (await bytesOf(handle, from, size - from)).lastIndexOf(NEWLINE);
  if (newline < 0 && from > 0) throw new Error("the file ends in a line that is too long");
  const whole = from + newline + 1;
  if (whole < size) await handle.truncate(whole);
  return whole;
}

async function bytesOf(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(length), position });
  return buffer.subarray(0, bytesRead);
}

function unlessMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
