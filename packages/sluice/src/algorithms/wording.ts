/** Numbers and lengths of time as text, in the reader's way. */
export interface Wording {
  /** Writes a number. */
  readonly number: (value: number) => string;
  /** Writes a length of time. */
  readonly span: (ms: number) => string;
}
