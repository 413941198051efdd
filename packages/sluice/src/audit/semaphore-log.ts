/** Reads the logs of semaphores. */
import { type HoldChanges, Holds } from "./holds.js";
import { type ByteSource, linesOf } from "./lines.js";
import { LogError, type LogSource, MOST_KEYS, TOO_MANY_KEYS } from "./log.js";
import { FORMAT } from "./record.js";

export interface SemaphoreLog {
  readonly files: readonly string[];
  readonly limit: number;
  readonly holds: Holds;
  /** Acquisitions that got no permit in the time they had; and those that failed. */
  readonly denied: number;
  readonly failed: number;
}

/** No header of a semaphore is longer. */
const LONGEST_HEADER = 64 * 1024;

type Fields = Readonly<Record<string, unknown>>;

/** What a log is of. */
type LogKind = "limiter" | "semaphore" | "attempts";

/** What the first line of a log says that it is of; and the source, to be read from its beginning. */
export async function peekKind(
  source: LogSource,
): Promise<{ readonly kind: LogKind; readonly source: LogSource }> {
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
  const [, word] = /^\s*\{"sluice":\d+,"(semaphore|attempts)":/.exec(text) ?? [];
  const kind = word === "semaphore" || word === "attempts" ? word : "limiter";
  return { kind, source: { name: source.name, open: again } };
}

/** Reads logs, one after another; they may have been concatenated. */
export async function readSemaphoreLogs(sources: readonly LogSource[]): Promise<SemaphoreLog> {
  const reader = new Reader();
  for (const { name, open } of sources) await reader.read(name, open());
  return reader.finish();
}

class Reader {
  readonly #holds = new Holds();
  #limit: number | undefined;
  #denied = 0;
  #failed = 0;
  #file = "";
  #line = 0;

  async read(name: string, source: ByteSource): Promise<void> {
    this.#holds.files.push(name);
    this.#file = name;
    this.#line = 0;
    try {
      for await (const lines of linesOf(source)) {
        for (const text of lines) {
          this.#line += 1;
          if (text !== "") this.#accept(this.#parse(text));
        }
      }
    } catch (error) {
      throw error instanceof LogError ? error : unreadable(name, error);
    }
  }

  finish(): SemaphoreLog {
    const holds = this.#holds;
    if (this.#limit === undefined || holds.length === 0) {
      throw new LogError(`${holds.files.join(", ")}: there is no grant to audit`);
    }
    const [denied, failed] = [this.#denied, this.#failed];
    return { files: holds.files, limit: this.#limit, holds, denied, failed };
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
      const untilUs = this.#whole(fields, "untilUs");
      this.#change(fields, "renewed", { untilUs, surelyUs: this.#whole(fields, "atUs") });
    } else if ("releasing" in fields) this.#change(fields, "releasing", { isReleasing: true });
    else this.#change(fields, "released", { releasedAtUs: this.#whole(fields, "atUs") });
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
    const known = this.#holds.find(key, fence);
    if (known !== undefined) {
      throw this.#error(
        `the fence ${fence} was granted twice, first at ${this.#holds.place(known)}`,
      );
    }
    const hold = {
      key,
      fence,
      ticket: this.#whole(fields, "ticket"),
      weight: this.#whole(fields, "weight"),
      untilUs: this.#whole(fields, "untilUs"),
      surelyUs: this.#whole(fields, "atUs"),
    };
    this.#holds.push(hold, this.#line);
    if (this.#holds.keys.length > MOST_KEYS) throw this.#error(TOO_MANY_KEYS);
  }

  #change(fields: Fields, name: string, changes: HoldChanges): void {
    const row = this.#holds.find(String(fields["key"]), this.#whole(fields, name));
    if (row !== undefined) {
      this.#holds.change(row, changes);
      return;
    }
    throw this.#error(`no grant with the fence ${String(fields[name])} before`);
  }

  #whole(fields: Fields, name: string): number {
    const value = fields[name];
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw this.#error(`the record has no "${name}" that is a whole number`);
  }

  #error(message: string): LogError {
    return new LogError(`${this.#file}:${this.#line}: ${message}`);
  }
}

function unreadable(name: string, cause: unknown): LogError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new LogError(`${name}: cannot be read: ${message}`, { cause });
}
