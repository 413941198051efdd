/** Which keys a rollout has reached: by a hash of rule and key, so that every process agrees, and more percent only add keys. */

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const RANGE = 2 ** 32;

/** 32-bit FNV-1a over UTF-16 units. */
function fold(hash: number, text: string): number {
  let folded = hash;
  for (let i = 0; i < text.length; i++) {
    folded = Math.imul(folded ^ text.charCodeAt(i), FNV_PRIME);
  }
  return folded;
}

/** The finish of MurmurHash3: every bit of the input moves every bit of the result. */
function mix(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** The position of a key in its rule's rollout, from 0 to below 100: every higher percentage reaches it. */
export function rolloutPlace(rule: string, identity: string): number {
  return (mix(fold(fold(FNV_OFFSET, `${rule}\n`), identity)) / RANGE) * 100;
}
