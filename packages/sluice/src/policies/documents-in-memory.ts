/** Published documents of a store inside the process, or of any that keeps none: they stay in this process. */
import { systemClock } from "../core/clock.js";
import {
  type DocumentDraft,
  type DocumentEntry,
  type DocumentHead,
  type DocumentNote,
  type DocumentPublished,
  type DocumentStore,
  type DocumentWatch,
  KEPT_VERSIONS,
} from "../stores/document-store.js";
import type { Store } from "../stores/store.js";

/** What is kept under one name. */
interface Kept {
  /** From the oldest on; the last one is in force. */
  entries: readonly DocumentEntry[];
  /** The next version is above it. */
  floor: number;
  readonly hints: Set<() => void>;
}

class DocumentsInMemory implements DocumentStore {
  readonly #nowUs: () => number;
  readonly #names = new Map<string, Kept>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  async head(name: string, seen: number): Promise<DocumentHead> {
    const kept = this.#keptOf(name);
    kept.floor = Math.max(kept.floor, seen);
    const { version = 0, digest = "" } = kept.entries.at(-1) ?? {};
    return { version, digest, nowUs: this.#nowUs() };
  }

  async read(name: string, version = 0): Promise<DocumentEntry | undefined> {
    const { entries } = this.#keptOf(name);
    return version === 0 ? entries.at(-1) : entries.find((entry) => entry.version === version);
  }

  async publish(name: string, draft: DocumentDraft): Promise<DocumentPublished> {
    const kept = this.#keptOf(name);
    const { text, digest, by, comment, expected, seen } = draft;
    const { version: current = 0 } = kept.entries.at(-1) ?? {};
    const nowUs = this.#nowUs();
    if (current !== expected) return { published: false, version: current, nowUs };
    const version = Math.max(current, kept.floor, seen) + 1;
    const entry = { version, digest, atMs: Math.floor(nowUs / 1e3), by, comment, text };
    kept.entries = [...kept.entries, entry].slice(-KEPT_VERSIONS);
    for (const hint of kept.hints) hint();
    return { published: true, version, nowUs };
  }

  async history(name: string): Promise<readonly DocumentNote[]> {
    const { entries } = this.#keptOf(name);
    return entries
      .map(({ version, digest, atMs, by, comment }) => ({ version, digest, atMs, by, comment }))
      .toReversed();
  }

  watch(name: string, hint: () => void): DocumentWatch {
    const { hints } = this.#keptOf(name);
    const listener = (): void => {
      hint();
    };
    hints.add(listener);
    return { end: () => void hints.delete(listener) };
  }

  #keptOf(name: string): Kept {
    let kept = this.#names.get(name);
    if (kept === undefined) {
      kept = { entries: [], floor: 0, hints: new Set() };
      this.#names.set(name, kept);
    }
    return kept;
  }
}

const inMemory = new WeakMap<Store, DocumentStore>();

/** What keeps the documents of a store. */
export function documentsOf(store: Store): DocumentStore {
  const known = store.documents ?? inMemory.get(store);
  if (known !== undefined) return known;
  const { clock = systemClock } = store;
  const documents = new DocumentsInMemory(() => clock.nowUs());
  inMemory.set(store, documents);
  return documents;
}
