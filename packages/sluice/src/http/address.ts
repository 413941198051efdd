/** Client addresses: read from what proxies pass on, from the right, and made into keys. */
import { InvalidOptionError } from "../core/errors.js";
import { byDefault, checkCount, checkFunction, optional, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { HttpCall } from "./call.js";

/** Bits of IPv6 that one customer has: a /64 at least, so that taking another address of it gains nothing. */
const DEFAULT_IPV6_PREFIX = 64;

/** Four bytes, or sixteen. */
type Bytes = readonly number[];

/**
 * A key for an address: IPv4 as it is, also if it is written as IPv6; of IPv6 its first `ipv6Prefix` bits. Without port and
 * zone. What is no address stays what it is.
 *
 * @param ipv6Prefix bits, 1 to 128
 * @throws InvalidOptionError
 * @example
 * import { addressKey } from "sluice/http";
 * console.log(addressKey("::ffff:192.0.2.7")); // 192.0.2.7
 * console.log(addressKey("[2001:db8::7]:443")); // 2001:db8::/64
 */
export function addressKey(address: string, ipv6Prefix: number = DEFAULT_IPV6_PREFIX): string {
  if (ipv6Prefix !== DEFAULT_IPV6_PREFIX) checkCount("ipv6Prefix", ipv6Prefix, 1, 128);
  if (typeof address !== "string") {
    throw new InvalidOptionError("address", withoutText(address), "a text");
  }
  const bytes = parseAddress(address);
  if (bytes === undefined) return address;
  return bytes.length === 4
    ? formatAddress(bytes)
    : `${formatAddress(masked(bytes, ipv6Prefix))}/${ipv6Prefix}`;
}

/** Options of `clientAddress`. */
export interface ClientAddressOptions<Raw = unknown> {
  /**
   * How many of your own proxies are in front of this server, or their addresses as CIDR blocks. A proxy that connects by a
   * Unix socket has no address: it can be counted only.
   */
  readonly trust: number | readonly string[];
  /** The field in which they say whom they serve; default "x-forwarded-for". "forwarded" is read as RFC 7239 has it. */
  readonly header?: string | undefined;
  /** The address that the connection comes from, if the framework does not provide it. */
  readonly connection?: ((raw: Raw) => string | undefined) | undefined;
}

const OPTIONS = optionReader<ClientAddressOptions>()({
  trust: trusting,
  header: byDefault("x-forwarded-for", checkFieldName),
  connection: optional(checkFunction),
});

/**
 * The address of the client behind your own proxies. What a client writes into the field itself is never believed: entries
 * are read from the right, as many as there are trusted proxies.
 *
 * @returns a function for the option `address`, of the address that the connection comes from; what it returns is without
 * port and zone, and undefined if that connection has none
 * @throws InvalidOptionError
 * @see RFC 7239, section 8.1
 * @example
 * import { clientAddress } from "sluice/http";
 * const address = clientAddress({ trust: 1 });
 * const header = () => "203.0.113.66, 198.51.100.7";
 * console.log(address(undefined, { method: "GET", address: "10.0.0.2", header })); // 198.51.100.7
 */
export function clientAddress<Raw = unknown>(
  options: ClientAddressOptions<Raw>,
): (raw: Raw, call: HttpCall) => string | undefined {
  const { trust: isTrusted, header: name, connection } = OPTIONS.read(options);
  const entriesOf = name === "forwarded" ? forwardedEntries : listEntries;
  return (raw, call) => {
    let text = connection === undefined ? call.address : connection(raw);
    let bytes = text === undefined ? undefined : parseAddress(text);
    const entries = isTrusted(bytes, 0) ? entriesOf(call.header(name) ?? "") : [];
    for (let hop = 0; isTrusted(bytes, hop); hop++) {
      const entry = parseAddress(entries.pop() ?? "");
      // The proxy does not say, or says no address: then it is the last address that is known.
      if (entry === undefined) break;
      bytes = entry;
      text = undefined;
    }
    return bytes === undefined ? text : formatAddress(bytes);
  };
}

/** A token of RFC 9110, section 5.6.2. */
const FIELD_NAME = /^[\w!#$%&'*+.^`|~-]{1,100}$/;

/** In lower case. */
export function checkFieldName(option: string, name: unknown): string {
  if (typeof name === "string" && FIELD_NAME.test(name)) return name.toLowerCase();
  throw new InvalidOptionError(option, name, 'a field name such as "x-forwarded-for"');
}

/** Whether what speaks from an address, `hop` proxies away from here, is a proxy of one's own. */
function trusting(
  option: string,
  trust: unknown,
): (address: Bytes | undefined, hop: number) => boolean {
  if (!Array.isArray(trust)) {
    const hops = checkHops(option, trust);
    return (_address, hop) => hop < hops;
  }
  const blocks = trust.map((text, i) => parseBlock(`${option}[${i}]`, text));
  return (address) =>
    address !== undefined && blocks.some(({ net, bits }) => isWithin(address, net, bits));
}

function checkHops(option: string, trust: unknown): number {
  if (typeof trust === "number") return checkCount(option, trust, 0, 100);
  const allowed = 'how many proxies there are, or their addresses such as ["10.0.0.0/8"]';
  throw new InvalidOptionError(option, withoutText(trust), allowed);
}

function parseBlock(option: string, text: unknown): { net: Bytes; bits: number } {
  const [address = "", length, ...rest] = typeof text === "string" ? text.split("/") : [];
  const net = parseAddress(address);
  const most = (net?.length ?? 0) * 8;
  const bits = length === undefined ? most : Number(length);
  const isNumber = length === undefined || /^\d{1,3}$/.test(length);
  if (net !== undefined && isNumber && bits <= most && rest.length === 0) return { net, bits };
  throw new InvalidOptionError(option, text, 'an address or CIDR block such as "10.0.0.0/8"');
}

function isWithin(address: Bytes, net: Bytes, bits: number): boolean {
  if (address.length !== net.length) return false;
  const [a, b] = [masked(address, bits), masked(net, bits)];
  return a.every((byte, i) => byte === b[i]);
}

function masked(bytes: Bytes, bits: number): Bytes {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.max(0, Math.min(8, bits - i * 8))));
}

function listEntries(field: string): string[] {
  return field.split(",").map((entry) => entry.trim());
}

/** `name=token` or `name="text"`, and what follows it. */
const FORWARDED_PAIR =
  /[\t ]*(?:([\w!#$%&'*+.^`|~-]+)=(?:([^\s",;=]+)|"((?:[^"\\]|\\.)*)")[\t ]*)?([;,]|$)/y;

/**
 * The clients of `for=192.0.2.60;proto=http, for="[2001:db8::7]:443"`; "" of an element without `for`. None at all if the
 * field is malformed anywhere, since the part that a client wrote is then unknown: a comma may belong to a quoted text.
 */
function forwardedEntries(field: string): string[] {
  const entries: string[] = [];
  let client = "";
  for (let at = 0; at <= field.length; ) {
    FORWARDED_PAIR.lastIndex = at;
    const [whole, name, token, text, end] = FORWARDED_PAIR.exec(field) ?? [];
    if (whole === undefined) return [];
    if (name?.toLowerCase() === "for") client = token ?? text?.replaceAll("\\", "") ?? "";
    if (end !== ";") {
      entries.push(client);
      client = "";
    }
    at += whole.length + (end === "" ? 1 : 0);
  }
  return entries;
}

/** The bytes of an address, with or without brackets, port and zone; undefined for what is none. */
function parseAddress(text: string): Bytes | undefined {
  // Longer than any address with a zone and a port.
  if (text.length > 100) return undefined;
  if (!text.includes(":")) return parseIpv4(text);
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return parseIpv6(bracketed[1] as string);
  // One colon is of a port: no IPv6 address has just one.
  const colon = text.indexOf(":");
  return colon === text.lastIndexOf(":") ? parseIpv4(text.slice(0, colon)) : parseIpv6(text);
}

function parseIpv4(text: string): Bytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = parts.map((part) => (/^(?:0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
  return bytes.every((byte) => byte < 256) ? bytes : undefined;
}

function parseIpv6(text: string): Bytes | undefined {
  const [address = ""] = text.split("%", 1);
  const [head = "", tail, ...rest] = address.split("::");
  if (rest.length > 0) return undefined;
  // Only the very end may be an IPv4 address.
  const front = groupsOf(head, tail === undefined);
  const back = tail === undefined ? [] : groupsOf(tail, true);
  if (front === undefined || back === undefined) return undefined;
  const missing = 16 - front.length - back.length;
  if (tail === undefined ? missing !== 0 : missing < 2) return undefined;
  const bytes = [...front, ...new Array<number>(missing).fill(0), ...back];
  const isMapped =
    bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}

/** The bytes of groups of hexadecimal digits, of which the last may be an IPv4 address if this is the end. */
function groupsOf(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
      continue;
    }
    const last = isEnd && i === groups.length - 1 ? parseIpv4(group) : undefined;
    if (last === undefined) return undefined;
    bytes.push(...last);
  }
  return bytes;
}

/** Of IPv6 as in RFC 5952: the longest run of zeros, of two groups at least, is left out. */
function formatAddress(bytes: Bytes): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[i * 2] as number) << 8) | (bytes[i * 2 + 1] as number)).toString(16),
  );
  let [from, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (groups[end] === "0") end += 1;
    if (end - i > length) [from, length] = [i, end - i];
  }
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, from).join(":")}::${groups.slice(from + length).join(":")}`;
}
