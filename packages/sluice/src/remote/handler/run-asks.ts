/** Questions to what a store has besides: overrides, reports and documents. If a store has none, the service keeps them. */
import { StoreUnavailableError } from "../../core/errors.js";
import { documentsOf } from "../../policies/documents-in-memory.js";
import { reportsOf } from "../../report/minutes-in-memory.js";
import type { Store } from "../../stores/store.js";
import {
  BadRequest,
  readId,
  readList,
  readName,
  readOptional,
  readString,
  readWhole,
  readWord,
} from "./bad-request.js";
import { overridesOf } from "./overrides-in-memory.js";

/** Reads the arguments at once, and answers when it is called. */
type AskReader = (store: AskedStore, args: readonly unknown[]) => () => Promise<unknown>;

/** A store, completed by what it may not have itself. */
export interface AskedStore {
  readonly store: Store;
  /** What this service keeps instead of the store, by kind and name. */
  readonly kept: Set<string>;
}

export function askedStore(store: Store): AskedStore {
  return { store, kept: new Set() };
}

/** Notes a name that is kept in this process; beyond a maximum it takes no more. */
function keep({ store, kept }: AskedStore, kind: AskKind, name: string): void {
  if (store[kind] !== undefined || kept.has(`${kind} ${name}`)) return;
  if (kept.size >= MOST_NAMES) {
    throw new StoreUnavailableError(
      `the service has ${MOST_NAMES} names in memory, the most that it keeps`,
      {
        code: "STORE_FULL",
        ofKey: true,
      },
    );
  }
  kept.add(`${kind} ${name}`);
}

type AskKind = "overrides" | "reports" | "documents";

const MOST_NAMES = 1000;

const LONGEST_OVERRIDE = 65_536;
const LONGEST_FIELD = 2 ** 20;
const MOST_FIELDS = 10_000;
const MOST_OVERRIDES = 1_000_000;
const LONGEST_DOCUMENT = 2 ** 20;
const LONGEST_NOTE = 4096;
const MOST = Number.MAX_SAFE_INTEGER;

const count = (what: string, value: unknown): number => readWhole(what, value, 0, MOST);
const note = (what: string, value: unknown): string | undefined =>
  readOptional(value, (text) => readString(what, text, LONGEST_NOTE));

const READERS: Readonly<Record<string, AskReader>> = {
  "overrides.write": ({ store }, [limiter, id, text, until, most]) => {
    const name = readName("limiter", limiter);
    const write = {
      id: readId("id", id),
      text: readOptional(text, (value) => readString("text", value, LONGEST_OVERRIDE, 1)),
      untilMs: readOptional(until, (ms) => count("untilMs", ms)),
      most: readWhole("most", most, 1, MOST_OVERRIDES),
    };
    return () => overridesOf(store).write(name, write);
  },
  "overrides.read": ({ store }, [limiter, known]) => {
    const name = readName("limiter", limiter);
    const version = readString("known", known, 64);
    return async () => {
      const { texts, ...read } = await overridesOf(store).read(name, version);
      if (texts === undefined) return { ...read, texts: null };
      const all = [...texts].map(([id, { text, untilMs }]) => [id, text, untilMs ?? null]);
      return { ...read, texts: all };
    };
  },
  "reports.now": ({ store }, [of]) => {
    const name = readName("name", of);
    return () => reportsOf(store).nowMs(name);
  },
  "reports.write": ({ store }, [of, at, writer, turn, text, list]) => {
    const to = { name: readName("name", of), minute: readWhole("minute", at, 0, 2 ** 40) };
    const fields = readList("fields", list, MOST_FIELDS).map((field, i): [string, string] => {
      const [key, value] = readList(`fields[${i}]`, field, 2);
      return [
        readString(`fields[${i}][0]`, key, LONGEST_FIELD, 1),
        readString(`fields[${i}][1]`, value, LONGEST_FIELD),
      ];
    });
    const what = {
      process: readString("process", writer, 256, 1),
      turn: count("turn", turn),
      line: readString("line", text, LONGEST_FIELD),
      fields: new Map(fields),
    };
    return () => reportsOf(store).write(to, what);
  },
  "reports.read": ({ store }, [of, at]) => {
    const from = { name: readName("name", of), minute: readWhole("minute", at, 0, 2 ** 40) };
    return async () => {
      const { nowMs, fields } = await reportsOf(store).read(from);
      return { nowMs, fields: [...fields] };
    };
  },
  "documents.head": ({ store }, [of, seen]) => {
    const name = readName("name", of);
    const highest = count("seen", seen);
    return () => documentsOf(store).head(name, highest);
  },
  "documents.read": ({ store }, [of, at]) => {
    const name = readName("name", of);
    const version = count("version", at);
    return async () => (await documentsOf(store).read(name, version)) ?? null;
  },
  "documents.publish": ({ store }, [of, text, digest, by, comment, expected, seen]) => {
    const name = readName("name", of);
    const draft = {
      text: readString("text", text, LONGEST_DOCUMENT),
      digest: readWord("digest", digest),
      by: note("by", by),
      comment: note("comment", comment),
      expected: count("expected", expected),
      seen: count("seen", seen),
    };
    return () => documentsOf(store).publish(name, draft);
  },
  "documents.history": ({ store }, [of]) => {
    const name = readName("name", of);
    return () => documentsOf(store).history(name);
  },
};

/** What answers a question. @throws BadRequest */
export function readAsk(of: AskedStore, frame: unknown): () => Promise<unknown> {
  const [name, ...args] = readList("ask", frame, 16);
  const reader =
    typeof name === "string" && Object.hasOwn(READERS, name) ? READERS[name] : undefined;
  if (reader === undefined) {
    throw new BadRequest(`ask[0] must be one of ${Object.keys(READERS).join(", ")}`);
  }
  const answer = reader(of, args);
  const [kind] = (name as string).split(".") as [AskKind];
  return async () => {
    keep(of, kind, args[0] as string);
    return answer();
  };
}
