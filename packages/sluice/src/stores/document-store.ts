/**
 * The port between published documents and the store that keeps them: under each name one text with a version that only
 * grows, and the texts before it.
 */

/** How many versions of a name are kept, the one in force included. */
export const KEPT_VERSIONS = 20;

/** Which version is in force. */
export interface DocumentHead {
  /** 0 if nothing was published, or all of it is lost. */
  readonly version: number;
  /** The digest of its text, "" if there is none. Two texts may have the same version if a server has lost the first. */
  readonly digest: string;
  /** The store's clock: µs since the epoch. */
  readonly nowUs: number;
}

/** Who published a version, when, and why. */
export interface DocumentNote {
  /** From 1. */
  readonly version: number;
  /** Of the text. */
  readonly digest: string;
  /** When it was published: ms since the epoch, by the store's clock. */
  readonly atMs: number;
  /** Who published it, as they said. */
  readonly by: string | undefined;
  /** Why, as they said. */
  readonly comment: string | undefined;
}

/** A version with its text. */
export interface DocumentEntry extends DocumentNote {
  /** The document; undefined if it is no longer kept. */
  readonly text: string;
}

/** What is to be published. */
export interface DocumentDraft {
  /** The document. */
  readonly text: string;
  /** Of the text. */
  readonly digest: string;
  /** Who publishes it. */
  readonly by: string | undefined;
  /** Why it is published. */
  readonly comment: string | undefined;
  /** The version that it replaces: if another one is in force, nothing is written. */
  readonly expected: number;
  /** The highest version that the publisher has ever seen: the new one is higher, whatever the store has lost. */
  readonly seen: number;
}

/** What became of a draft. */
export interface DocumentPublished {
  /** Whether it was published. */
  readonly published: boolean;
  /** The one in force now: the new one, or the one that was not expected. */
  readonly version: number;
  /** The store's clock: µs since the epoch. */
  readonly nowUs: number;
}

/** A user that wants to know of new versions at once. */
export interface DocumentWatch {
  /** Ends the watch. */
  end(): void;
}

/** Keeps published documents and their versions for a store. */
export interface DocumentStore {
  /**
   * Which version is in force: one cheap command. `seen` is the highest version that the caller knows of: if the store
   * knows of none so high, it notes that the next one must be higher.
   */
  head(name: string, seen: number): Promise<DocumentHead>;
  /** The text of a version, or of the one in force; undefined if it is not kept. */
  read(name: string, version?: number): Promise<DocumentEntry | undefined>;
  /** All of it or nothing. */
  publish(name: string, draft: DocumentDraft): Promise<DocumentPublished>;
  /** Who published the versions that are kept, the newest first. */
  history(name: string): Promise<readonly DocumentNote[]>;
  /** Calls `hint` soon after most publications. Only a hint: it may be missed, or come although nothing has changed. */
  watch(name: string, hint: () => void): DocumentWatch;
}

/** What a store keeps of who and why. */
export function noteToText({ by, comment }: Pick<DocumentNote, "by" | "comment">): string {
  return JSON.stringify({ by, comment });
}

/** A note as it is kept: "atMs digest json". Nothing but that is taken for one. */
export function noteOf(version: number, text: string): DocumentNote | undefined {
  const [, atMs, digest = "", json = ""] = /^(\d+) (\S+) (\{.*\})$/s.exec(text) ?? [];
  if (atMs === undefined) return undefined;
  const { by, comment } = JSON.parse(json) as Partial<DocumentNote>;
  return { version, digest, atMs: Number(atMs), by, comment };
}
