/** Between the messages that proto-loader makes of bytes, and our plain values. */
import {
  RLS_UNITS,
  type RlsAnswer,
  type RlsDescriptor,
  type RlsEntry,
  type RlsMetadata,
  type RlsRequest,
  RlsRequestError,
  type RlsStatus,
  type RlsUnit,
} from "../rls/index.js";

/** What proto-loader makes of a request, with its defaults. */
interface RequestMessage {
  readonly domain: string;
  readonly descriptors: readonly {
    readonly entries: readonly RlsEntry[];
    readonly limit: { readonly requestsPerUnit: number; readonly unit: unknown } | null;
    readonly hitsAddend: { readonly value: number } | null;
    readonly isNegativeHits: boolean;
  }[];
  readonly hitsAddend: number;
}

export interface RlsCodec {
  /** Never throws: bytes that are no request are an answer of their own. */
  readonly read: (bytes: Buffer) => RlsRequest | RlsRequestError;
  readonly write: (answer: RlsAnswer) => Buffer;
}

/** Reads and writes by the functions of a method's definition. */
export function rlsCodec(
  decode: (bytes: Buffer) => unknown,
  encode: (message: object) => Buffer,
): RlsCodec {
  return {
    read: (bytes) => {
      try {
        return requestOf(decode(bytes) as RequestMessage);
      } catch {
        return new RlsRequestError("the bytes are no RateLimitRequest");
      }
    },
    write: (answer) => encode(messageOf(answer)),
  };
}

function requestOf({ domain, descriptors, hitsAddend }: RequestMessage): RlsRequest {
  return { domain, descriptors: descriptors.map(descriptorOf), hitsAddend };
}

function descriptorOf(message: RequestMessage["descriptors"][number]): RlsDescriptor {
  const { entries, limit, hitsAddend, isNegativeHits } = message;
  return {
    entries,
    limit: limit === null ? undefined : { ...limit, unit: unitOf(limit.unit) },
    hitsAddend: hitsAddend?.value,
    isNegativeHits,
  };
}

/** A number that has no name is a unit that nobody knows. */
function unitOf(unit: unknown): RlsUnit {
  return RLS_UNITS.find((name) => name === unit) ?? "UNKNOWN";
}

function messageOf(answer: RlsAnswer): object {
  const { overallCode, statuses, responseHeaders, rawBody, metadata } = answer;
  return {
    overallCode,
    statuses: statuses.map(statusOf),
    responseHeadersToAdd: responseHeaders.map(([key, value]) => ({ key, value })),
    ...(rawBody !== "" && { rawBody: Buffer.from(rawBody) }),
    ...(metadata !== undefined && { dynamicMetadata: structOf(metadata) }),
  };
}

function statusOf({ code, currentLimit, limitRemaining, resetAfterMs }: RlsStatus): object {
  return {
    code,
    currentLimit,
    limitRemaining,
    ...(resetAfterMs !== undefined && {
      durationUntilReset: {
        seconds: Math.floor(resetAfterMs / 1000),
        nanos: (resetAfterMs % 1000) * 1e6,
      },
    }),
  };
}

function structOf(metadata: RlsMetadata): object {
  const fields: Record<string, object> = {};
  for (const [name, value] of Object.entries(metadata)) {
    fields[name] =
      typeof value === "string"
        ? { stringValue: value }
        : { listValue: { values: value.map((stringValue) => ({ stringValue })) } };
  }
  return { fields };
}
