/** The values of structured fields (RFC 9651 §3): what the parser makes and the serializer takes. */

/** A value without parameters. Integers and dates are whole; a date is seconds since the Unix epoch. */
export type BareItem =
  | { readonly kind: "integer" | "decimal" | "date"; readonly value: number }
  | { readonly kind: "string" | "token" | "display"; readonly value: string }
  | { readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly kind: "boolean"; readonly value: boolean };

/** In their order in the field. */
export type Parameters = ReadonlyMap<string, BareItem>;

export interface Item {
  readonly item: BareItem;
  readonly parameters: Parameters;
}

export interface InnerList {
  readonly items: readonly Item[];
  readonly parameters: Parameters;
}

export type Member = Item | InnerList;
export type List = readonly Member[];
export type Dictionary = ReadonlyMap<string, Member>;

/** An integer has at most 15 digits, so that a double holds it (§3.3.1). */
export const MAX_INTEGER = 999_999_999_999_999;
/** A decimal has at most 12 digits before the point (§3.3.2). */
export const MAX_DECIMAL = 999_999_999_999.999;

/** First character of a key: a-z or "*". The rest may also be 0-9 "_" "-" ".". */
export const KEY = /^[a-z*][a-z0-9_.*-]*$/;
/** RFC 9110's tchar, ":" and "/", after a letter or "*". */
export const TOKEN = /^[A-Za-z*][\w!#$%&'*+.^`|~:/-]*$/;
/** What a string may hold: printable ASCII. */
export const PRINTABLE_ASCII = /^[ -~]*$/;

export const NO_PARAMETERS: Parameters = new Map();
