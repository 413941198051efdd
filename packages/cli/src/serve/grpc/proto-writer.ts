/** Writes the protobuf encoding from its end to its beginning: so the length of a message is known when it is to be written. */

const VARINT = 0;
const BYTES = 2;
/** Enough for an answer to one descriptor. */
const FIRST_BYTES = 512;

/** One message. Fields are given last to first. Callers must leave out default values. */
export class ProtoWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = FIRST_BYTES;

  /** All that was written. */
  get written(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  /** A whole number, 0 to 2 ** 53. */
  number(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field * 8 + VARINT);
  }

  text(field: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.#makeRoom(length);
    this.#at -= length;
    // What is as long in bytes as in characters is ASCII, which needs no encoder.
    this.#bytes.write(text, this.#at, length, length === text.length ? "latin1" : "utf8");
    this.#tagged(field, length);
  }

  /** `write` gives the fields of a message within this one, last to first too. */
  message(field: number, write: () => void): void {
    const before = this.#bytes.length - this.#at;
    write();
    this.#tagged(field, this.#bytes.length - this.#at - before);
  }

  #tagged(field: number, length: number): void {
    this.#varint(length);
    this.#varint(field * 8 + BYTES);
  }

  #varint(value: number): void {
    this.#makeRoom(8);
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
    this.#at -= length;
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[at++] = (rest % 0x80) | 0x80;
    this.#bytes[at] = rest;
  }

  #makeRoom(length: number): void {
    if (length <= this.#at) return;
    const { written } = this;
    const wider = Buffer.allocUnsafe(2 * this.#bytes.length + length);
    this.#at = wider.length - written.length;
    written.copy(wider, this.#at);
    this.#bytes = wider;
  }
}
