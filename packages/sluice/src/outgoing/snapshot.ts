/**
 * A request as it was when the call was made. A call may wait for minutes and be sent several times, and until then its
 * caller may change the URL, the headers or the bytes, or use the same options for the next call.
 */
import type { OutgoingRequest } from "./options.js";
import type { DispatchOptions } from "./undici-types.js";

type FetchInput = Parameters<typeof fetch>[0];
type FetchInit = Parameters<typeof fetch>[1];
type FetchHeaders = NonNullable<FetchInit>["headers"];

/** A call of `fetch` that can no longer be changed. */
export interface FetchSnapshot {
  readonly request: OutgoingRequest;
  /** Whether it can be sent again. */
  readonly isReplayable: boolean;
  readonly signal: AbortSignal | null | undefined;
  /** The arguments for one try, made again for each: what `fetch` does to them changes no other try. */
  argumentsOfTry(): [input: FetchInput, init: FetchInit];
}

/**
 * What `fetch` reads of its options, whether they are own properties or getters, such as those of a Request. Then what
 * only some platforms read: undici's `dispatcher`.
 */
const INIT_MEMBERS = [
  "method",
  "headers",
  "body",
  "mode",
  "credentials",
  "cache",
  "redirect",
  "referrer",
  "referrerPolicy",
  "integrity",
  "keepalive",
  "signal",
  "duplex",
  "priority",
  "window",
] as const;
const PLATFORM_MEMBERS = ["dispatcher"] as const;

type Init = Readonly<Record<string, unknown>> & NonNullable<FetchInit>;

/** @throws TypeError if `fetch` would */
export function snapshotOfFetch(input: FetchInput, init: FetchInit): FetchSnapshot {
  return isRequest(input) ? ofRequest(input, init) : ofAddress(input, init);
}

/** A Request of this realm or of another, or of another package. */
function isRequest(input: FetchInput): input is Request {
  return typeof input === "object" && typeof (input as Request).url === "string";
}

function ofAddress(input: string | URL, init: FetchInit): FetchSnapshot {
  const fixed = fixInit(init);
  const address = String(input);
  const isUrl = typeof input === "object" && "href" in input;
  return {
    request: outgoingRequest(address, fixed.method, fixed.headers),
    isReplayable: isReplayable(fixed.body),
    signal: fixed.signal,
    argumentsOfTry: () => [
      isUrl ? new URL(address) : address,
      init === undefined || init === null ? init : copyOf(fixed),
    ],
  };
}

/** The copy takes over the body of `input`, as `fetch` does. */
function ofRequest(input: Request, init: FetchInit): FetchSnapshot {
  const fixed = fixInit(init);
  const request = new (input.constructor as typeof Request)(input, fixed);
  const { method, body } = request;
  const isBodiless = method === "GET" || method === "HEAD" || body === null;
  const hasOwnBody = fixed.body !== undefined && fixed.body !== null;
  const canRepeat = hasOwnBody ? isReplayable(fixed.body) : isBodiless;
  return {
    request: outgoingRequest(request.url, method, request.headers),
    isReplayable: canRepeat,
    signal: fixed.signal === undefined ? input.signal : fixed.signal,
    // What a Request cannot carry is passed beside it.
    argumentsOfTry: () => [canRepeat ? request.clone() : request, beyondStandard(fixed)],
  };
}

function outgoingRequest(
  address: string,
  method: string | undefined,
  headers: FetchHeaders,
): OutgoingRequest {
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  return {
    url: new URL(address, base),
    method: (method ?? "GET").toUpperCase(),
    headers: new Headers(headers),
  };
}

function fixInit(init: FetchInit): Init {
  const given = (init ?? {}) as Init;
  const fixed: Record<string, unknown> = { ...given };
  for (const name of [...INIT_MEMBERS, ...PLATFORM_MEMBERS]) {
    if (given[name] !== undefined) fixed[name] = given[name];
  }
  if (given.headers !== undefined) fixed["headers"] = fixHeaders(given.headers);
  if (given.body !== undefined) fixed["body"] = fixBody(given.body);
  return fixed;
}

function beyondStandard(init: Init): FetchInit {
  const standard: readonly string[] = INIT_MEMBERS;
  const others = Object.entries(init).filter(([name]) => !standard.includes(name));
  return others.length === 0 ? undefined : Object.fromEntries(others);
}

/** Read once: an iterator has nothing left for the second reader. Records stay records, all else becomes pairs. */
function fixHeaders(headers: unknown): NonNullable<FetchHeaders> {
  if (typeof headers !== "object" || headers === null) return headers as NonNullable<FetchHeaders>;
  if (Symbol.iterator in headers) {
    return Array.from(headers as Iterable<unknown>, fixPair) as [string, string][];
  }
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, textOf(value)]));
}

/** As `fetch` makes a text of it: a symbol is a TypeError. */
const textOf = (value: unknown): string => "".concat(value as string);

function fixPair(pair: unknown): unknown {
  if (typeof pair !== "object" || pair === null || !(Symbol.iterator in pair)) return pair;
  return Array.from(pair as Iterable<unknown>, textOf);
}

function copyOf(init: Init): FetchInit {
  return init.headers === undefined ? { ...init } : { ...init, headers: fixHeaders(init.headers) };
}

const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** The FormData of the platform. That of the package form-data is a stream that calls itself the same. */
function isForm(body: unknown): body is FormData {
  return tagOf(body) === "FormData" && typeof (body as FormData)[Symbol.iterator] === "function";
}

/** A copy of what can change; whatever else it may be, as it is. */
function fixBody(body: unknown): unknown {
  if (ArrayBuffer.isView(body)) {
    return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
  }
  const tag = tagOf(body);
  if (tag === "ArrayBuffer") return new Uint8Array(body as ArrayBuffer).slice().buffer;
  if (tag === "URLSearchParams") return new URLSearchParams(String(body));
  if (!isForm(body)) return body;
  // One of the same class: undici's own fetch does not take the global one.
  const copy = new (body.constructor as typeof FormData)();
  for (const [name, value] of body) copy.append(name, value);
  return copy;
}

const REPLAYABLE_TAGS: ReadonlySet<string> = new Set([
  "ArrayBuffer",
  "Blob",
  "File",
  "URLSearchParams",
]);

/** Whether a body can be sent a second time: streams and iterators cannot. */
export function isReplayable(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return typeof body !== "function";
  return ArrayBuffer.isView(body) || REPLAYABLE_TAGS.has(tagOf(body)) || isForm(body);
}

/** The same for a request through undici. */
export function snapshotOfDispatch(options: DispatchOptions): DispatchOptions {
  const { origin, headers, body, query } = options;
  return {
    ...options,
    ...(typeof origin === "object" && { origin: new URL(origin.href) }),
    ...(headers !== undefined && { headers: fixRawHeaders(headers) }),
    ...(body !== undefined && { body: fixBody(body) }),
    ...(typeof query === "object" && query !== null && { query: { ...query } }),
  };
}

/** undici takes an array for names and values in turn: pairs that come one by one become such an array. */
function fixRawHeaders(headers: unknown): unknown {
  if (typeof headers !== "object" || headers === null) return headers;
  if (Array.isArray(headers)) return headers.map(fixValue);
  if (Symbol.iterator in headers) {
    return [...(headers as Iterable<unknown>)].flatMap((pair) =>
      Array.isArray(pair) ? pair.map(fixValue) : [pair],
    );
  }
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, fixValue(value)]),
  );
}

function fixValue(value: unknown): unknown {
  return Array.isArray(value) ? [...(value as readonly unknown[])] : value;
}
