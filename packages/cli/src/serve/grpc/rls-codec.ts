/** Envoy's messages as bytes: by hand, since a library's general way takes as long as all else that is done for a request. */
import {
  RLS_UNITS,
  type RlsAnswer,
  type RlsDescriptor,
  type RlsEntry,
  type RlsMetadata,
  type RlsRequest,
  RlsRequestError,
  type RlsStatus,
} from "../rls/index.js";
import { ProtoReader } from "./proto-reader.js";
import { ProtoWriter } from "./proto-writer.js";

/** Never throws: bytes that are no request are answered with an error. */
export function readRls(bytes: Buffer): RlsRequest | RlsRequestError {
  try {
    return requestIn(new ProtoReader(bytes));
  } catch {
    return new RlsRequestError("the bytes are no RateLimitRequest");
  }
}

function requestIn(reader: ProtoReader): RlsRequest {
  const descriptors: RlsDescriptor[] = [];
  let domain = "";
  let hitsAddend = 0;
  while (reader.next()) {
    const { field, isBytes } = reader;
    if (field === 1 && isBytes) domain = reader.text();
    else if (field === 2 && isBytes) descriptors.push(descriptorIn(reader));
    else if (field === 3 && reader.isNumber) hitsAddend = reader.uint32();
    else reader.skip();
  }
  return { domain, descriptors, hitsAddend };
}

function descriptorIn(reader: ProtoReader): RlsDescriptor {
  const entries: RlsEntry[] = [];
  let limit: RlsDescriptor["limit"];
  let hitsAddend: number | undefined;
  let isNegativeHits = false;
  reader.message(() => {
    const { field, isBytes } = reader;
    if (field === 1 && isBytes) entries.push(entryIn(reader));
    else if (field === 2 && isBytes) limit = limitIn(reader, limit);
    else if (field === 3 && isBytes) hitsAddend = hitsIn(reader, hitsAddend);
    else if (field === 4 && reader.isNumber) isNegativeHits = reader.uint64() !== 0;
    else reader.skip();
  });
  return { entries, limit, hitsAddend, isNegativeHits };
}

function entryIn(reader: ProtoReader): RlsEntry {
  let key = "";
  let value = "";
  reader.message(() => {
    const { field, isBytes } = reader;
    if (field === 1 && isBytes) key = reader.text();
    else if (field === 2 && isBytes) value = reader.text();
    else reader.skip();
  });
  return { key, value };
}

type Limit = NonNullable<RlsDescriptor["limit"]>;

/** A message that appears twice is one with the fields of both. */
function limitIn(reader: ProtoReader, before: Limit | undefined): Limit {
  let { requestsPerUnit, unit } = before ?? { requestsPerUnit: 0, unit: "UNKNOWN" as const };
  reader.message(() => {
    const { field, isNumber } = reader;
    if (field === 1 && isNumber) requestsPerUnit = reader.uint32();
    // A number that has no name is an unknown unit.
    else if (field === 2 && isNumber) unit = RLS_UNITS[reader.uint64()] ?? "UNKNOWN";
    else reader.skip();
  });
  return { requestsPerUnit, unit };
}

/** A UInt64Value. */
function hitsIn(reader: ProtoReader, before = 0): number {
  let value = before;
  reader.message(() => {
    if (reader.field === 1 && reader.isNumber) value = reader.uint64();
    else reader.skip();
  });
  return value;
}

const CODES = { OK: 1, OVER_LIMIT: 2 } as const;

export function writeRls(answer: RlsAnswer): Buffer {
  const { overallCode, statuses, responseHeaders, rawBody, metadata } = answer;
  const writer = new ProtoWriter();
  if (metadata !== undefined) writer.message(6, () => writeStruct(writer, metadata));
  if (rawBody !== "") writer.text(5, rawBody);
  for (let i = responseHeaders.length - 1; i >= 0; i--) {
    const [name, value] = responseHeaders[i] as RlsAnswer["responseHeaders"][number];
    writer.message(3, () => writePair(writer, name, value));
  }
  for (let i = statuses.length - 1; i >= 0; i--) {
    writer.message(2, () => writeStatus(writer, statuses[i] as RlsStatus));
  }
  writer.number(1, CODES[overallCode]);
  return writer.written;
}

function writeStatus(writer: ProtoWriter, status: RlsStatus): void {
  const { code, currentLimit, limitRemaining, resetAfterMs } = status;
  if (resetAfterMs !== undefined) writer.message(4, () => writeDuration(writer, resetAfterMs));
  if (limitRemaining > 0) writer.number(3, limitRemaining);
  if (currentLimit !== undefined) writer.message(2, () => writeLimit(writer, currentLimit));
  writer.number(1, CODES[code]);
}

function writeDuration(writer: ProtoWriter, ms: number): void {
  const nanos = (ms % 1000) * 1e6;
  const seconds = Math.floor(ms / 1000);
  if (nanos > 0) writer.number(2, nanos);
  if (seconds > 0) writer.number(1, seconds);
}

function writeLimit(
  writer: ProtoWriter,
  { requestsPerUnit, unit, name }: NonNullable<RlsStatus["currentLimit"]>,
): void {
  writer.text(3, name);
  const number = RLS_UNITS.indexOf(unit);
  if (number > 0) writer.number(2, number);
  if (requestsPerUnit > 0) writer.number(1, requestsPerUnit);
}

function writePair(writer: ProtoWriter, key: string, value: string): void {
  writer.text(2, value);
  writer.text(1, key);
}

/** A Struct: of each field its name, and a Value that is a text or a list of texts. */
function writeStruct(writer: ProtoWriter, metadata: RlsMetadata): void {
  for (const [name, value] of Object.entries(metadata)) {
    writer.message(1, () => {
      writer.message(2, () => {
        if (typeof value === "string") writer.text(3, value);
        else writer.message(6, () => writeTexts(writer, value));
      });
      writer.text(1, name);
    });
  }
}

/** A ListValue. */
function writeTexts(writer: ProtoWriter, texts: readonly string[]): void {
  for (let i = texts.length - 1; i >= 0; i--) {
    writer.message(1, () => writer.text(3, texts[i] as string));
  }
}
