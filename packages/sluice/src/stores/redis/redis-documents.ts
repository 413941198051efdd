/** Documents in Redis: a name is one hash, and whatever is done with it one call of one script. */
import type { Clock } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import {
  type DocumentDraft,
  type DocumentEntry,
  type DocumentHead,
  type DocumentNote,
  type DocumentPublished,
  type DocumentStore,
  type DocumentWatch,
  KEPT_VERSIONS,
  noteOf,
  noteToText,
} from "../document-store.js";
import type { RunScript } from "./clients/client.js";
import { replyNumber, runOnKey } from "./one-key-script.js";
import { documentScript } from "./scripts.js";
import { Subscriber } from "./subscriber.js";

export interface RedisDocumentsOptions {
  readonly run: RunScript;
  /** Undefined until the store has connected. */
  readonly client: () => unknown;
  /** As of the store. */
  readonly subscriber: unknown;
  readonly isCluster: boolean;
  /** Decides instead of the server's clock. */
  readonly clock: Clock | undefined;
}

export class RedisDocuments implements DocumentStore {
  readonly #options: RedisDocumentsOptions;
  readonly #hints = new Map<string, Set<() => void>>();
  /** Opened when somebody first watches. */
  #subscriber: Subscriber | undefined;
  #isClosed = false;

  constructor(options: RedisDocumentsOptions) {
    this.#options = options;
  }

  async head(name: string, seen: number): Promise<DocumentHead> {
    const [version, digest, nowUs] = await this.#call(name, "head", String(seen));
    return { version: replyNumber(version), digest: String(digest), nowUs: replyNumber(nowUs) };
  }

  async read(name: string, version = 0): Promise<DocumentEntry | undefined> {
    const [found, note, text] = await this.#call(name, "read", String(version));
    return typeof text === "string" ? { ...noteIn(found, note), text } : undefined;
  }

  async publish(name: string, draft: DocumentDraft): Promise<DocumentPublished> {
    const { seen, expected, digest, text } = draft;
    const [published, version, nowUs] = await this.#call(
      name,
      "publish",
      String(seen),
      String(expected),
      String(KEPT_VERSIONS),
      digest,
      noteToText(draft),
      text,
      this.#channelOf(name),
    );
    return {
      published: replyNumber(published) === 1,
      version: replyNumber(version),
      nowUs: replyNumber(nowUs),
    };
  }

  async history(name: string): Promise<readonly DocumentNote[]> {
    const reply = await this.#call(name, "history");
    const notes: DocumentNote[] = [];
    for (let i = 0; i + 1 < reply.length; i += 2) notes.push(noteIn(reply[i], reply[i + 1]));
    return notes.toReversed();
  }

  watch(name: string, hint: () => void): DocumentWatch {
    if (this.#isClosed) return { end: () => {} };
    this.#subscriber ??= new Subscriber({
      client: this.#options.client,
      subscriber: this.#options.subscriber,
      sharded: this.#options.isCluster,
      received: () => {
        for (const hints of this.#hints.values()) for (const each of hints) each();
      },
    });
    const { canSubscribe } = this.#subscriber;
    if (!canSubscribe) return { end: () => {} };
    const hints = this.#hints.get(name) ?? new Set();
    this.#hints.set(name, hints);
    // A function of its own, so that two watches of one caller do not end each other.
    const listener = (): void => {
      hint();
    };
    hints.add(listener);
    // What was published before its messages are received is found by the one that begins to.
    const subscription = this.#subscriber.subscribe(this.#channelOf(name), listener);
    return {
      end: () => {
        hints.delete(listener);
        if (hints.size === 0) this.#hints.delete(name);
        subscription.end();
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#subscriber?.close();
    this.#hints.clear();
  }

  /** On a Cluster a message stays within the slot of its key, so the channel carries the key's tag. */
  #channelOf(name: string): string {
    return this.#options.isCluster ? `${keyOf(name)}!` : `${name}:~policies`;
  }

  #call(name: string, verb: string, ...args: string[]): Promise<readonly unknown[]> {
    const { run, clock } = this.#options;
    const now = clock === undefined ? "" : String(clock.nowUs());
    return runOnKey(run, documentScript(), keyOf(name), [now, verb, ...args]);
  }
}

/** No policy has a name that begins like this. */
function keyOf(name: string): string {
  return `${name}:~policies:{${name}}`;
}

function noteIn(version: unknown, text: unknown): DocumentNote {
  const note = noteOf(replyNumber(version), String(text));
  if (note !== undefined) return note;
  throw new StoreUnavailableError("what is kept of a document is not Sluice's");
}
