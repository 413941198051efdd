/** Writes a log to a file. */
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";

/** A file that is written line by line, as fast as the disk takes them, and whole once closed. */
export class LogWriter implements AsyncDisposable {
  readonly #stream: WriteStream;
  #failure: Error | undefined;
  /** Shared by all who wait: a listener each would pile up. */
  #drained: Promise<unknown> | undefined;

  private constructor(stream: WriteStream) {
    this.#stream = stream;
    stream.on("error", (error) => {
      this.#failure = error;
    });
  }

  /** Empties or creates the file; rejects at once if that cannot be done. */
  static async open(file: string): Promise<LogWriter> {
    const stream = createWriteStream(file);
    await once(stream, "open");
    return new LogWriter(stream);
  }

  /** Resolves when more may be written, which under load is later than at once. */
  async write(lines: string): Promise<void> {
    this.#check();
    if (this.#stream.write(lines)) return;
    this.#drained ??= once(this.#stream, "drain").finally(() => {
      this.#drained = undefined;
    });
    await this.#drained;
  }

  /** Resolves once everything is in the file. */
  async close(): Promise<void> {
    if (!this.#stream.closed) {
      this.#stream.end();
      await once(this.#stream, "close");
    }
    this.#check();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
