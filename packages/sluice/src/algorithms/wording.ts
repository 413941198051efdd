/** Numbers and lengths of time as text, in the reader's way. */
export interface Wording {
  number(value: number): string;
  span(ms: number): string;
}
