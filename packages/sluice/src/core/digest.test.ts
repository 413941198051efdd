import { createHash, createHmac, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { digests, portableDigests, randomName } from "./digest.js";

/** Lengths around the ends of blocks, and texts whose characters take one to four bytes. */
const TEXTS = [
  ...Array.from({ length: 140 }, (_, length) => "x".repeat(length)),
  "ключ→🔑".repeat(50),
  "\0",
  randomBytes(10_000).toString("latin1"),
];
const SECRETS = [
  "s".repeat(16),
  "s".repeat(64),
  "s".repeat(65),
  randomBytes(200),
  new Uint8Array(16),
];

test.each([
  ["of this platform", digests],
  ["in plain JavaScript", portableDigests],
])("digests %s are the standard's", (_title, tried) => {
  for (const text of TEXTS) {
    expect(tried.sha256(text)).toBe(createHash("sha256").update(text).digest("base64url"));
    expect(tried.sha1(text)).toBe(createHash("sha1").update(text).digest("hex"));
    for (const secret of SECRETS) {
      const expected = createHmac("sha256", secret).update(text).digest("base64url");
      expect(tried.hmacSha256(secret, text)).toBe(expected);
    }
  }
});

test("random names differ, and are as long as their bytes ask for", () => {
  const names = Array.from({ length: 100 }, () => randomName(9));
  expect(new Set(names).size).toBe(100);
  for (const name of names) expect(name).toMatch(/^[\w-]{12}$/);
  expect(randomName(1)).toHaveLength(2);
  expect(randomName(2)).toHaveLength(3);
});
