/** Reads the protobuf encoding, field by field. Malformed bytes throw a RangeError, which no client sees. */
import { isUtf8 } from "node:buffer";

/** How a field is written. Groups are of a time before proto3, and are only passed over. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, group: 3, groupEnd: 4, fixed32: 5 } as const;

/** Groups in groups: no message of ours has any. */
const DEEPEST_GROUP = 8;
const LONGEST_VARINT = 10;

/** In a text it replaces bytes that are no character, and sometimes it is itself meant. */
const REPLACEMENT = "\u{fffd}";

export class ProtoReader {
  readonly #bytes: Buffer;
  #at = 0;
  #end: number;
  #low = 0;
  #high = 0;
  #type: number = WIRE.varint;
  /** The number of the field at which it is. */
  field = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  /** Goes to the next field of the message; false at its end. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    this.#readVarint();
    this.field = this.#low >>> 3;
    this.#type = this.#low & 7;
    if (this.field === 0 || this.#high !== 0) throw new RangeError("no tag");
    return true;
  }

  /** Whether the field is a number, or text or a message: one that is another is as good as unknown. */
  get isNumber(): boolean {
    return this.#type === WIRE.varint;
  }

  get isBytes(): boolean {
    return this.#type === WIRE.bytes;
  }

  /** The lower 32 bits of a number, as protobuf takes them. */
  uint32(): number {
    this.#readVarint();
    return this.#low >>> 0;
  }

  /** Of numbers beyond 2 ** 53 one near it. */
  uint64(): number {
    this.#readVarint();
    return (this.#high >>> 0) * 2 ** 32 + (this.#low >>> 0);
  }

  /** What is no UTF-8 is refused: two keys would become one. */
  text(): string {
    const end = this.#endOfBytes();
    const text = this.#bytes.toString("utf8", this.#at, end);
    if (text.includes(REPLACEMENT) && !isUtf8(this.#bytes.subarray(this.#at, end))) {
      throw new RangeError("no text");
    }
    this.#at = end;
    return text;
  }

  /** Reads a message within this one: `read` is called at each of its fields, and passes them. */
  message(read: () => void): void {
    const outer = this.#end;
    this.#end = this.#endOfBytes();
    while (this.next()) read();
    this.#end = outer;
  }

  /** Passes over the field. */
  skip(depth = 0): void {
    switch (this.#type) {
      case WIRE.varint:
        this.#readVarint();
        return;
      case WIRE.bytes:
        this.#at = this.#endOfBytes();
        return;
      case WIRE.fixed32:
        this.#at = this.#within(this.#at + 4);
        return;
      case WIRE.fixed64:
        this.#at = this.#within(this.#at + 8);
        return;
      case WIRE.group:
        this.#skipGroup(this.field, depth + 1);
        return;
      default:
        throw new RangeError("no field");
    }
  }

  #skipGroup(field: number, depth: number): void {
    if (depth > DEEPEST_GROUP) throw new RangeError("groups in groups");
    while (this.next()) {
      if (this.#type !== WIRE.groupEnd) this.skip(depth);
      else if (this.field === field) return;
      else break;
    }
    throw new RangeError("no group");
  }

  #endOfBytes(): number {
    this.#readVarint();
    return this.#within(this.#at + this.#low, this.#high === 0 && this.#low >= 0);
  }

  #within(at: number, isLength = true): number {
    if (isLength && at <= this.#end) return at;
    throw new RangeError("cut short");
  }

  #readVarint(): void {
    const bytes = this.#bytes;
    let low = 0;
    let high = 0;
    for (let count = 0; count < LONGEST_VARINT && this.#at < this.#end; count++) {
      const byte = bytes[this.#at++] as number;
      const bits = byte & 0x7f;
      if (count < 5) low |= bits << (7 * count);
      if (count === 4) high = bits >> 4;
      else if (count > 4) high |= bits << (7 * count - 32);
      if (byte >= 0x80) continue;
      this.#low = low;
      this.#high = high;
      return;
    }
    throw new RangeError("no number");
  }
}
