/** SHA-1, SHA-256 and HMAC (FIPS 180-4, RFC 2104) in plain JavaScript: for browsers, workers and edge runtimes. */

const BLOCK_BYTES = 64;
const LENGTH_BYTES = 8;

/** The first bits of the fractional parts of roots of the first primes: that is how the standard makes its constants. */
function fractions(count: number, root: (prime: number) => number): Uint32Array {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor += 1;
    if (divisor * divisor > n) found.push((root(n) % 1) * 2 ** 32);
  }
  return Uint32Array.from(found, Math.floor);
}

const SHA256_START = fractions(8, Math.sqrt);
const SHA256_ROUNDS = fractions(64, Math.cbrt);
const SHA1_START = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
const SHA1_ROUNDS = Uint32Array.of(0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6);

/** Changes the state by one block of sixteen words; `words` has room for all rounds. */
type Compress = (state: Uint32Array, words: Uint32Array) => void;

export function sha256(message: Uint8Array): Uint8Array {
  return digest(message, SHA256_START, 64, compress256);
}

export function sha1(message: Uint8Array): Uint8Array {
  return digest(message, SHA1_START, 80, compress1);
}

export function hmacSha256(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const key = new Uint8Array(BLOCK_BYTES);
  key.set(secret.length > BLOCK_BYTES ? sha256(secret) : secret);
  const inner = sha256(
    joined(
      key.map((byte) => byte ^ 0x36),
      message,
    ),
  );
  return sha256(
    joined(
      key.map((byte) => byte ^ 0x5c),
      inner,
    ),
  );
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

function digest(
  message: Uint8Array,
  start: Uint32Array,
  rounds: number,
  compress: Compress,
): Uint8Array {
  const blocks = Math.ceil((message.length + 1 + LENGTH_BYTES) / BLOCK_BYTES);
  const padded = new Uint8Array(blocks * BLOCK_BYTES);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  const bits = message.length * 8;
  view.setUint32(padded.length - LENGTH_BYTES, Math.floor(bits / 2 ** 32));
  view.setUint32(padded.length - LENGTH_BYTES / 2, bits);
  const state = start.slice();
  const words = new Uint32Array(rounds);
  for (let block = 0; block < padded.length; block += BLOCK_BYTES) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(block + i * 4);
    compress(state, words);
  }
  const result = new Uint8Array(state.length * 4);
  const out = new DataView(result.buffer);
  state.forEach((word, i) => {
    out.setUint32(i * 4, word);
  });
  return result;
}

function right(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

/** A word that is there. */
function at(words: Uint32Array, index: number): number {
  return words[index] as number;
}

function add(state: Uint32Array, words: readonly number[]): void {
  words.forEach((word, i) => {
    state[i] = at(state, i) + word;
  });
}

function compress256(state: Uint32Array, words: Uint32Array): void {
  for (let i = 16; i < words.length; i++) {
    const [early, late] = [at(words, i - 15), at(words, i - 2)];
    const low = right(early, 7) ^ right(early, 18) ^ (early >>> 3);
    const high = right(late, 17) ^ right(late, 19) ^ (late >>> 10);
    words[i] = at(words, i - 16) + low + at(words, i - 7) + high;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let i = 0; i < words.length; i++) {
    const big = right(e, 6) ^ right(e, 11) ^ right(e, 25);
    const choice = (e & f) ^ (~e & g);
    const first = (h + big + choice + at(SHA256_ROUNDS, i) + at(words, i)) | 0;
    const small = right(a, 2) ^ right(a, 13) ^ right(a, 22);
    const second = (small + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  add(state, [a, b, c, d, e, f, g, h]);
}

function compress1(state: Uint32Array, words: Uint32Array): void {
  for (let i = 16; i < words.length; i++) {
    const mixed = at(words, i - 3) ^ at(words, i - 8) ^ at(words, i - 14) ^ at(words, i - 16);
    words[i] = right(mixed, 31);
  }
  let [a, b, c, d, e] = state as unknown as number[] as [number, number, number, number, number];
  for (let i = 0; i < words.length; i++) {
    const quarter = Math.floor(i / 20);
    let mixed = b ^ c ^ d;
    if (quarter === 0) mixed = (b & c) | (~b & d);
    if (quarter === 2) mixed = (b & c) | (b & d) | (c & d);
    const next = (right(a, 27) + mixed + e + at(SHA1_ROUNDS, quarter) + at(words, i)) | 0;
    [e, d, c, b, a] = [d, c, right(b, 2), a, next];
  }
  add(state, [a, b, c, d, e]);
}
