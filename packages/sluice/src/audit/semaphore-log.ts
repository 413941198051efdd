/** Reads the logs of semaphores. */
import { type ByteSource, linesOf } from "./lines.js";
import { LogError, type LogSource } from "./log.js";
import { FORMAT } from "./record.js";

/** One place that was held, as far as the logs tell. */
export interface Hold {
  readonly key: string;
  readonly fence: number;
  readonly ticket: number;
  readonly weight: number;
  /** When the lease ended that was last heard of. */
  untilUs: number;
  /** The last time of the store's clock at which it was surely held. */
  surelyUs: number;
  /** A release was sent; it may have been done. */
  isReleasing: boolean;
  releasedAtUs: number | undefined;
  /** Where the grant stands. */
  readonly place: string;
}

export interface SemaphoreLog {
  readonly files: readonly string[];
  readonly limit: number;
  readonly holds: readonly Hold[];
  /** Acquisitions that got no place in the time they had; and those that failed. */
  readonly denied: number;
  readonly failed: number;
}

/** No header of a semaphore is longer. */
const LONGEST_HEADER = 64 * 1024;

type Fields = Readonly<Record<string, unknown>>;

/** Whether the first line of a log is the header of a semaphore's; and the source, to be read from its beginning. */
export async function peekSemaphore(
  source: LogSource,
): Promise<{ readonly isSemaphore: boolean; readonly source: LogSource }> {
  const chunks: AsyncIterator<string | Uint8Array> = source.open()[Symbol.asyncIterator]();
  let text = "";
  const decoder = new TextDecoder();
  const read: (string | Uint8Array)[] = [];
  while (!text.includes("\n") && text.length < LONGEST_HEADER) {
    let next: IteratorResult<string | Uint8Array, unknown>;
    try {
      next = await chunks.next();
    } catch (cause) {
      throw unreadable(source.name, cause);
    }
    if (next.done === true) break;
    read.push(next.value);
    text +=
      typeof next.value === "string" ? next.value : decoder.decode(next.value, { stream: true });
  }
  async function* again(): AsyncGenerator<string | Uint8Array> {
    yield* read;
    yield* { [Symbol.asyncIterator]: () => chunks };
  }
  const isSemaphore = /^\s*\{"sluice":\d+,"semaphore":/.test(text);
  return { isSemaphore, source: { name: source.name, open: again } };
}

/** Reads logs, one after another; they may have been concatenated. */
export async function readSemaphoreLogs(sources: readonly LogSource[]): Promise<SemaphoreLog> {
  const reader = new Reader();
  for (const { name, open } of sources) await reader.read(name, open());
  return reader.finish();
}

class Reader {
  readonly #files: string[] = [];
  readonly #holds = new Map<string, Hold>();
  #limit: number | undefined;
  #denied = 0;
  #failed = 0;
  #place = "";

  async read(name: string, source: ByteSource): Promise<void> {
    this.#files.push(name);
    let number = 0;
    try {
      for await (const lines of linesOf(source)) {
        for (const text of lines) {
          number += 1;
          this.#place = `${name}:${number}`;
          if (text !== "") this.#accept(this.#parse(text));
        }
      }
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(name, error);
    }
  }

  finish(): SemaphoreLog {
    if (this.#limit === undefined || this.#holds.size === 0) {
      throw new LogError(`${this.#files.join(", ")}: there is no grant to audit`);
    }
    const holds = [...this.#holds.values()];
    const [denied, failed] = [this.#denied, this.#failed];
    return { files: this.#files, limit: this.#limit, holds, denied, failed };
  }

  #parse(text: string): Fields {
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === "object" && value !== null) return value as Fields;
    } catch {
      // Said below.
    }
    throw this.#error("not a line of JSON (cut short?)");
  }

  #accept(fields: Fields): void {
    if ("sluice" in fields) this.#header(fields);
    else if ("denied" in fields) this.#denied += 1;
    else if ("failed" in fields) this.#failed += 1;
    else if ("granted" in fields) this.#grant(fields);
    else if ("renewed" in fields) {
      const hold = this.#holdOf(fields, "renewed");
      hold.untilUs = this.#whole(fields, "untilUs");
      hold.surelyUs = this.#whole(fields, "atUs");
    } else if ("releasing" in fields) this.#holdOf(fields, "releasing").isReleasing = true;
    else this.#holdOf(fields, "released").releasedAtUs = this.#whole(fields, "atUs");
  }

  #header(fields: Fields): void {
    const semaphore = fields["semaphore"] as Fields | undefined;
    if (fields["sluice"] !== FORMAT || typeof semaphore !== "object") {
      throw this.#error("not the header of a semaphore's log that this version knows");
    }
    const limit = this.#whole(semaphore, "limit");
    if (this.#limit !== undefined && this.#limit !== limit) {
      throw this.#error(
        `the limit ${limit} differs from ${this.#limit}, which the logs before had`,
      );
    }
    this.#limit = limit;
  }

  #grant(fields: Fields): void {
    const key = fields["key"];
    if (typeof key !== "string") throw this.#error('the record has no "key"');
    const fence = this.#whole(fields, "granted");
    const known = this.#holds.get(`${key} ${fence}`);
    if (known !== undefined) {
      throw new LogError(
        `${this.#place}: the fence ${fence} was granted twice, first at ${known.place}`,
      );
    }
    this.#holds.set(`${key} ${fence}`, {
      key,
      fence,
      ticket: this.#whole(fields, "ticket"),
      weight: this.#whole(fields, "weight"),
      untilUs: this.#whole(fields, "untilUs"),
      surelyUs: this.#whole(fields, "atUs"),
      isReleasing: false,
      releasedAtUs: undefined,
      place: this.#place,
    });
  }

  #holdOf(fields: Fields, name: string): Hold {
    const hold = this.#holds.get(`${String(fields["key"])} ${this.#whole(fields, name)}`);
    if (hold !== undefined) return hold;
    throw this.#error(`no grant with the fence ${String(fields[name])} before`);
  }

  #whole(fields: Fields, name: string): number {
    const value = fields[name];
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw this.#error(`the record has no "${name}" that is a whole number`);
  }

  #error(message: string): LogError {
    return new LogError(`${this.#place}: ${message}`);
  }
}

function unreadable(name: string, cause: unknown): LogError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new LogError(`${name}: cannot be read: ${message}`, { cause });
}
