/** The port between limiters and the store that keeps their overrides: for each limiter a table of texts by id. */

/** One override, or its end. */
export interface OverrideWrite {
  /** Of the key, as the store sees it. */
  readonly id: string;
  /** Undefined: there is no override of this id any more. */
  readonly text: string | undefined;
  /** When it ends, by the store's clock: ms since the epoch. */
  readonly untilMs: number | undefined;
  /** Overrides of a limiter at most. */
  readonly most: number;
}

/** The table as it is now. */
export interface OverridesRead {
  /** Another with each write; "" where there never was one, or it is lost. */
  readonly version: string;
  /** The store's clock: ms since the epoch. */
  readonly nowMs: number;
  /** Texts by id; undefined where the version is the one that was known. */
  readonly texts: ReadonlyMap<string, StoredOverride> | undefined;
}

export interface StoredOverride {
  readonly text: string;
  readonly untilMs: number | undefined;
}

export interface OverrideStore {
  /** false: there are too many. Those whose time is over are removed first. */
  write(limiter: string, what: OverrideWrite): Promise<boolean>;
  read(limiter: string, known: string): Promise<OverridesRead>;
}
