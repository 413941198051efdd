/** What Envoy's rate limit service (v3) is asked and answers, as plain values: gRPC and JSON are two ways to write them. */

/** By number. */
export const RLS_UNITS = [
  "UNKNOWN",
  "SECOND",
  "MINUTE",
  "HOUR",
  "DAY",
  "MONTH",
  "YEAR",
  "WEEK",
] as const;
export type RlsUnit = (typeof RLS_UNITS)[number];

/** The most that the protocol's 32 bits hold; the remaining hits of what is not limited. */
export const MOST_UINT32 = 2 ** 32 - 1;

/** One entry of a descriptor. */
export interface RlsEntry {
  readonly key: string;
  readonly value: string;
}

export interface RlsDescriptor {
  /** In the order in which they came; a key may appear twice. */
  readonly entries: readonly RlsEntry[];
  /** To decide by instead of the rule's own limit, if the rule allows that. */
  readonly limit?: { readonly requestsPerUnit: number; readonly unit: RlsUnit } | undefined;
  /** Instead of the request's; 0 asks and takes nothing. */
  readonly hitsAddend?: number | undefined;
  /** Whether the hits are given back. */
  readonly isNegativeHits: boolean;
}

export interface RlsRequest {
  readonly domain: string;
  readonly descriptors: readonly RlsDescriptor[];
  /** 0 means 1. */
  readonly hitsAddend: number;
}

export type RlsCode = "OK" | "OVER_LIMIT";

/** What one descriptor came to. */
export interface RlsStatus {
  readonly code: RlsCode;
  /** Undefined if no rule is met, or none has a limit. */
  readonly currentLimit?:
    | { readonly requestsPerUnit: number; readonly unit: RlsUnit; readonly name: string }
    | undefined;
  /** 0 to 4,294,967,295. */
  readonly limitRemaining: number;
  /** Whole milliseconds; undefined if it never comes. */
  readonly resetAfterMs?: number | undefined;
}

/** A Struct of the protocol, as far as it is used. */
export type RlsMetadata = Readonly<Record<string, string | readonly string[]>>;

export interface RlsAnswer {
  readonly overallCode: RlsCode;
  /** One for each descriptor, in their order. */
  readonly statuses: readonly RlsStatus[];
  readonly responseHeaders: readonly (readonly [name: string, value: string])[];
  /** For the client of the proxy; empty if nothing is denied. */
  readonly rawBody: string;
  /** Undefined if no rule is met. */
  readonly metadata?: RlsMetadata | undefined;
}

/** A request that is none: of it nothing was decided. The message holds nothing that came with it. */
export class RlsRequestError extends Error {
  override readonly name = "RlsRequestError";
}
