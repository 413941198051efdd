/** How a PolicySet gets its document, and learns that there is another. */
import type { PoliciesDocument } from "./document.js";

/** What a source holds, not parsed yet. */
export interface SourceText {
  /** A text in JSON or YAML, or the document itself. */
  readonly content: string | PoliciesDocument;
  /** What errors call it: the file's path. */
  readonly file: string | undefined;
  /** Identifies the content: another content has another mark. */
  readonly mark: string;
  /** As it was published; undefined if the document says it itself. */
  readonly version: number | undefined;
  /** Who changed it, as they said. */
  readonly by: string | undefined;
  /** Why, as they said. */
  readonly comment: string | undefined;
}

/** What the process has seen of a source. */
export interface SeenSource {
  /** The mark of the last content that was read, valid or not; "" before the first. */
  readonly mark: string;
  /** The highest version that was in force here; 0 before the first. */
  readonly version: number;
}

/** What a look at a source has found. */
export type SourceLook =
  | {
      /**
       * "same": as it was seen. "lost": there is none any more. "older": an earlier version, or another text of the
       * same one.
       */
      readonly found: "same";
    }
  | {
      readonly found: "text";
      /** What is there now. */
      readonly text: SourceText;
    }
  | {
      readonly found: "lost" | "older";
      /** What is wrong with it, in words. */
      readonly why: string;
    };

/** What a policy set gets its document from. */
export interface PolicySource {
  /** What it is, for people: "file policies.yaml". */
  readonly name: string;
  /** Looks whether the content has changed. Rejects if that cannot be found out. */
  look(seen: SeenSource): Promise<SourceLook>;
  /**
   * Calls `hint` when it is worth looking; what it returns ends that. A hint may be missed, or come although nothing
   * has changed.
   */
  watch(hint: () => void): () => void;
  /** The newest content below this version; undefined if there is none, or none is kept. */
  before?(version: number): Promise<SourceText | undefined>;
  /** The store's clock in µs since the epoch, as it was at the last look; undefined if a look does not say. */
  heardUs?(): ClockReading | undefined;
}

/** What a clock elsewhere said, and when that was here. */
export interface ClockReading {
  /** µs since the epoch. */
  readonly thereUs: number;
  /** On this process's monotonic clock, in ms. */
  readonly hereMs: number;
}
