/** Writes queued lines to a rotating file, one chunk after another, and reports trouble once until it is over. */
import { endLine, sessionLine } from "../audit/attempt-record.js";
import { monotonicMs, startTimer, type Timer } from "../core/clock.js";
import { randomName } from "../core/digest.js";
import { DefinedRules, LineQueue, type QueuedLine } from "./line-queue.js";
import { RotatingFile } from "./rotating-file.js";

export interface LogFileOptions {
  readonly path: string;
  readonly sample: number;
  readonly maxFileBytes: number;
  readonly files: number;
  readonly maxQueueBytes: number;
  /** Called once for trouble that lasts. */
  readonly onTrouble: (error: Error) => void;
}

/** How long lines wait to be written together with others, unless there are many. */
const GATHER_MS = 100;
const CHUNK_BYTES = 64 * 1024;
/** After trouble the file is not tried again before. */
const RETRY_MS = 1000;
const SESSION_BYTES = 9;

export class LogFile {
  readonly session = randomName(SESSION_BYTES);
  readonly queue: LineQueue;
  readonly #options: LogFileOptions;
  readonly #file: RotatingFile;
  readonly #rules = new DefinedRules();
  #part = 0;
  /** Whether this session has begun in the file that is open. */
  #isBegun = false;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isInTrouble = false;
  #retryAtMs = 0;

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.queue = new LineQueue(options.maxQueueBytes);
    this.#file = new RotatingFile(options.path, options.files);
  }

  /** To be called when there is something in the queue. */
  schedule(): void {
    if (this.#writing !== undefined) return;
    if (this.queue.bytes >= CHUNK_BYTES && !this.#isInTrouble) {
      void this.flush();
      return;
    }
    if (this.#timer !== undefined) return;
    const waitMs = Math.max(GATHER_MS, this.#retryAtMs - monotonicMs());
    this.#timer = startTimer(waitMs, () => void this.flush());
    // Lines that are not written when the process ends are missing; a log must not keep it from ending.
    this.#timer.unref();
  }

  /** Resolves when what was in the queue is written or lost; never rejects. */
  async flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#writing !== undefined) await this.#writing;
    if (this.queue.isEmpty) return;
    this.#writing = this.#writeAll(this.queue.take());
    await this.#writing;
    this.#writing = undefined;
    if (!this.queue.isEmpty) this.schedule();
  }

  /** Writes the end of the session, if it has begun. */
  async close(): Promise<void> {
    await this.flush();
    this.#timer?.cancel();
    if (this.#isBegun && this.#file.isOpen) {
      await this.#file.write(endLine(this.session)).catch((error: unknown) => {
        this.#trouble(error as Error);
      });
    }
    await this.#file.close();
  }

  async #writeAll(lines: readonly QueuedLine[]): Promise<void> {
    let next = 0;
    try {
      while (next < lines.length) {
        const end = chunkEnd(lines, next, Math.min(CHUNK_BYTES, this.#options.maxFileBytes));
        const chunk = lines.slice(next, end);
        await this.#writeChunk(chunk);
        for (const line of chunk) this.queue.free(line);
        next = end;
      }
      this.#isInTrouble = false;
    } catch (error) {
      for (const line of lines.slice(next)) {
        this.queue.free(line);
        this.queue.drop(line);
      }
      this.#trouble(error as Error);
    }
  }

  async #writeChunk(lines: readonly QueuedLine[]): Promise<void> {
    if (!this.#file.isOpen) {
      this.#isBegun = false;
      await this.#file.open();
    }
    const bytes = lines.reduce((sum, { text }) => sum + text.length, 0);
    if (this.#file.size > 0 && this.#file.size + bytes > this.#options.maxFileBytes) {
      this.#isBegun = false;
      await this.#file.rotate();
    }
    try {
      await this.#file.write(this.#textOf(lines));
      this.#isBegun = true;
    } catch (error) {
      this.#isBegun = false;
      throw error;
    }
  }

  #textOf(lines: readonly QueuedLine[]): string {
    let text = "";
    if (!this.#isBegun) {
      this.#rules.clear();
      this.#part += 1;
      text = sessionLine({ ...this.#options, session: this.session, part: this.#part });
    }
    for (const line of lines) text += this.#rules.withRule(line);
    return text;
  }

  #trouble(error: Error): void {
    this.#retryAtMs = monotonicMs() + RETRY_MS;
    if (this.#isInTrouble) return;
    this.#isInTrouble = true;
    this.#options.onTrouble(error);
  }
}

/** The end of a chunk of about `most` bytes that begins at `begin`. */
function chunkEnd(lines: readonly QueuedLine[], begin: number, most: number): number {
  let bytes = 0;
  let end = begin;
  while (end < lines.length && bytes < most) {
    bytes += (lines[end] as QueuedLine).text.length;
    end += 1;
  }
  return end;
}
