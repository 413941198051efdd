/** Which of a Cluster's 16,384 slots a key is in, and how the keys of an identity end so that they share one. */
import { isInSlot } from "../../core/identity.js";

export const SLOTS = 16_384;
const POLYNOMIAL = 0x1021;
const ASCII_END = 128;
const encoder = new TextEncoder();

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
  return crc;
});

/** The slot of a hash tag: its CRC16 (XMODEM). Source: the Redis Cluster specification, appendix A. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (let i = 0; i < tag.length; i++) {
    const code = tag.charCodeAt(i);
    if (code >= ASCII_END) return slotOfBytes(encoder.encode(tag));
    crc = crcStep(crc, code);
  }
  return crc % SLOTS;
}

function slotOfBytes(bytes: Uint8Array): number {
  return bytes.reduce(crcStep, 0) % SLOTS;
}

function crcStep(crc: number, byte: number): number {
  return ((crc << 8) ^ (TABLE[((crc >> 8) ^ byte) & 0xff] as number)) & 0xffff;
}

/** The part of a key that decides its slot: the content of its first braces, unless that is empty, else all of it. */
export function tagIn(key: string): string {
  const open = key.indexOf("{");
  const close = key.indexOf("}", open + 1);
  return open >= 0 && close > open + 1 ? key.slice(open + 1, close) : key;
}

/** The hash tag of an id: all of it, unless it brings that of the slot that its key was given. */
export function tagOfId(id: string): string {
  return isInSlot(id) ? tagIn(id) : id;
}

/** Which slots the keys of an identity are in. */
export interface Placement {
  /** The hash tag that decides the slot. */
  readonly tagOf: (id: string) => string;
  /** The last part of a key, with the tag in braces. */
  readonly endOf: (id: string) => string;
}

/** Identities share one of `partitions` tags; those that were given one slot, the same one. */
export function placementBy(partitions: number): Placement {
  const tagOf = (id: string): string => `p${slotOf(tagOfId(id)) % partitions}`;
  return { tagOf, endOf: (id) => `{${tagOf(id)}}${id}` };
}
