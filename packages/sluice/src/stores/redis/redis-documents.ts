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
import type { Hints } from "./hints.js";
import { replyNumber, runOnKey } from "./one-key-script.js";
import { documentScript } from "./scripts.js";

export class RedisDocuments implements DocumentStore {
  readonly #run: RunScript;
  readonly #hints: Hints;
  readonly #clock: Clock | undefined;

  /** `clock` decides instead of the server's. */
  constructor(run: RunScript, hints: Hints, clock: Clock | undefined) {
    this.#run = run;
    this.#hints = hints;
    this.#clock = clock;
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
    return this.#hints.watch(this.#channelOf(name), hint);
  }

  #channelOf(name: string): string {
    return this.#hints.channelOf(keyOf(name), `${name}:~policies`);
  }

  #call(name: string, verb: string, ...args: string[]): Promise<readonly unknown[]> {
    const now = this.#clock === undefined ? "" : String(this.#clock.nowUs());
    return runOnKey(this.#run, documentScript(), keyOf(name), [now, verb, ...args]);
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
