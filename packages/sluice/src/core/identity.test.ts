import { runInNewContext } from "node:vm";
import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MemoryStore, RateLimiter, type RateLimiterOptions, tokenBucket } from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";
import { runs } from "../../test/support/runs.js";
import { identifyBy } from "./identity.js";

const SECRET = "correct horse battery staple";
const policy = tokenBucket({ limit: 5, period: "1s" });

/** The definition: the first 16 bytes of the digest in base64url. */
const first16 = (digest: Buffer): string => digest.subarray(0, 16).toString("base64url");

describe("an identity", () => {
  test("by sha256 is the first 16 bytes of the key's hash, for every key", () => {
    const identify = identifyBy("sha256", true);
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (key) => {
        expect(identify(key)).toBe(first16(createHash("sha256").update(key).digest()));
      }),
      { numRuns: runs(2000) },
    );
    expect(identify("user:42")).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });

  test("by hmac is the first 16 bytes of the key's hash under the secret", () => {
    const bytes = new Uint8Array(32).map((_, i) => i);
    for (const hmacSecret of [SECRET, bytes]) {
      const identify = identifyBy({ hmacSecret }, true);
      for (const key of ["a", "user:42", "👍", "\0", "k".repeat(4096)]) {
        const expected = first16(createHmac("sha256", hmacSecret).update(key).digest());
        expect(identify(key)).toBe(expected);
      }
    }
  });

  test("differs from secret to secret and from the bare hash", () => {
    const ids = [
      identifyBy("sha256", true),
      identifyBy({ hmacSecret: SECRET }, true),
      identifyBy({ hmacSecret: `${SECRET}!` }, true),
    ].map((identify) => identify("user:42"));
    expect(new Set(ids).size).toBe(3);
  });

  test("is hashed by default where the store is outside the process, and not in memory", () => {
    expect(identifyBy(undefined, true)("user:42")).toBe(identifyBy("sha256", true)("user:42"));
    expect(identifyBy(undefined, false)("user:42")).toBe("user:42");
    expect(identifyBy("sha256", false)("user:42")).toBe(identifyBy("sha256", true)("user:42"));
    expect(identifyBy("plain", true)("user:42")).toBe("user:42");
  });

  test("keeps keys apart that differ in Unicode's eyes only", () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    for (const identity of ["sha256", "plain", { hmacSecret: SECRET }] as const) {
      const limiter = new RateLimiter({
        policy,
        store,
        identity,
        namespace: `n${typeof identity}`,
      });
      limiter.consumeSync("e\u0301");
      expect(limiter.consumeSync("\u00e9").remaining).toBe(4);
    }
  });

  test("does not let the key out into the store", () => {
    const store = new PureStore(new ManualClock());
    const limiter = new RateLimiter({ policy, store, identity: "sha256" });
    limiter.consumeSync("alice@example.org");
    expect([...store.lifetimes().keys()].join()).not.toContain("alice");
  });
});

describe("a secret", () => {
  const refused: readonly unknown[] = [
    { hmacSecret: "s3cr3t" },
    { hmacSecret: new TextEncoder().encode("s3cr3t") },
    { hmacsecret: "s3cr3t-of-some-length" },
    { hmacSecret: "s3cr3t-of-some-length", algorithm: "s3cr3t" },
    { hmacSecret: { value: "s3cr3t-of-some-length" } },
    { hmacSecret: ["s3cr3t-of-some-length"] },
    { secret: "s3cr3t-of-some-length" },
    { "s3cr3t-of-some-length": true },
    "s3cr3t-of-some-length",
    ["s3cr3t-of-some-length"],
    new TextEncoder().encode("s3cr3t-of-some-length"),
    Symbol("s3cr3t"),
    () => "s3cr3t",
  ];

  test.each(refused.map((identity) => [identity]))(
    "is in no error, wherever it was put: %o",
    (identity) => {
      let error: Error | undefined;
      try {
        void new RateLimiter({ policy, identity } as RateLimiterOptions & { store?: undefined });
      } catch (caught) {
        error = caught as Error;
      }
      expect(error).toMatchObject({ code: "INVALID_OPTION", value: "(hidden)" });
      const told = `${error?.message} ${JSON.stringify(error)} ${error?.stack} ${String(error?.cause)}`;
      expect(told.replaceAll(/^ +at .*$/gm, "")).not.toMatch(/s3cr3t|115,51|"0":115/);
    },
  );

  test.each(["", "x".repeat(15), new Uint8Array(15)])(
    "of less than 16 is refused: %o",
    (hmacSecret) => {
      expect(() => identifyBy({ hmacSecret }, true)).toThrow(
        expect.objectContaining({ option: "identity.hmacSecret" }),
      );
    },
  );

  test.each([
    ["bytes", (length: number) => new Uint8Array(length)],
    ["a part of a buffer", (length: number) => new Uint8Array(new ArrayBuffer(64), 8, length)],
    ["a Buffer", (length: number) => Buffer.alloc(length)],
    ["shared bytes", (length: number) => new Uint8Array(new SharedArrayBuffer(length))],
  ])("is copied: %s that are wiped afterwards change no id", (_, make) => {
    const secret = make(32).fill(7);
    const identify = identifyBy({ hmacSecret: secret }, true);
    const id = identify("alice");
    secret.fill(0);
    const others = Array.from({ length: 600 }, (__, i) => identify(`user ${i}`));
    expect(new Set(others).size).toBe(600);
    expect(identify("alice")).toBe(id);
    expect(identifyBy({ hmacSecret: make(32).fill(7) }, true)("user 3")).toBe(others[3]);
  });

  test("may be bytes of another realm, as test runners have them", () => {
    const foreign = runInNewContext("new Uint8Array(32).fill(7)") as Uint8Array;
    const own = new Uint8Array(32).fill(7);
    expect(identifyBy({ hmacSecret: foreign }, true)("k")).toBe(
      identifyBy({ hmacSecret: own }, true)("k"),
    );
  });

  test("is not to be found on the limiter", () => {
    const limiter = new RateLimiter({ policy, identity: { hmacSecret: SECRET } });
    expect(JSON.stringify(limiter)).not.toContain("horse");
    expect(Object.values(limiter).map(String).join()).not.toContain("horse");
  });
});
