/** Which keys a sampled log holds: each is in or out as a whole, in all processes alike. */

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * Whether a key of this id is in a log that holds this share of the keys. A key that is in at one share is in at every
 * larger one.
 */
export function isSampled(id: string, share: number): boolean {
  if (share >= 1) return true;
  let hash = FNV_OFFSET;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), FNV_PRIME);
  // FNV alone leaves the upper bits of similar texts alike: these are the last steps of MurmurHash3.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32 < share;
}
