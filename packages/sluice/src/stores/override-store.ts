/** The port between limiters and the store that keeps their overrides: for each limiter a table of texts by id. */

/** One override, or its end. */
export interface OverrideWrite {
  /** The key's id, as the store sees it. */
  readonly id: string;
  /** Undefined: there is no override of this id any more. */
  readonly text: string | undefined;
  /** When it ends, by the store's clock: ms since the epoch. */
  readonly untilMs: number | undefined;
  /** If it is removed: who and why, as a text that is kept for a minute. */
  readonly note?: string | undefined;
  /** The most overrides that a limiter may have. */
  readonly most: number;
}

/** The table as it is now. */
export interface OverridesRead {
  /** Changes with each write; "" if there never was one, or it is lost. */
  readonly version: string;
  /** The store's clock: ms since the epoch. */
  readonly nowMs: number;
  /** Texts by id; undefined if the version is the known one. */
  readonly texts: ReadonlyMap<string, StoredOverride> | undefined;
}

/** An override as a store keeps it. */
export interface StoredOverride {
  /** The override, as text. */
  readonly text: string;
  /** When it ends, in ms since the epoch; undefined: never. */
  readonly untilMs: number | undefined;
  /** It was removed, and the text is the note of that. */
  readonly isRemoved?: boolean | undefined;
}

/** Keeps the overrides of keys for a store. */
export interface OverrideStore {
  /** false: there are too many. Those whose time is over do not count. */
  write(limiter: string, what: OverrideWrite): Promise<boolean>;
  /** Reads the table, and removes the overrides of `ended` whose time is over. */
  read(limiter: string, known: string, ended?: readonly string[]): Promise<OverridesRead>;
  /** Calls `hint` soon after most writes. Only a hint: it may be missed, or come although nothing has changed. */
  watch?(limiter: string, hint: () => void): OverrideWatch;
}

/** A user that wants to know of changes at once. */
export interface OverrideWatch {
  /** Ends the watch. */
  end(): void;
}
