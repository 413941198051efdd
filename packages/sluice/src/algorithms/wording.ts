/** Numbers and lengths of time as text, in the reader's way. */
export interface Wording {
  readonly number: (value: number) => string;
  readonly span: (ms: number) => string;
}
