/** Tokens are compared in a time that tells nothing: each with each, by digests of one length. */
import type * as Crypto from "node:crypto";
import { timingSafeEqual } from "node:crypto";
import { expect, test, vi } from "vitest";
import { Tokens } from "./tokens.js";

vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof Crypto>();
  return { ...crypto, timingSafeEqual: vi.fn(crypto.timingSafeEqual) };
});

const NAMES = ["one", "two", "three"];
const tokens = Tokens.parse(
  NAMES.map((name) => `${name} decide ${name}-0123456789abcdef`).join("\n"),
);

test.each([
  ["one-0123456789abcdef", "one"],
  ["three-0123456789abcdef", "three"],
  ["one-0123456789abcdeg", undefined],
  ["x", undefined],
  ["one-0123456789abcdef".repeat(12), undefined],
])("%s is compared with every token, by the library's comparison", (token, name) => {
  const compare = vi.mocked(timingSafeEqual);
  compare.mockClear();
  expect(tokens.holderOf(`Bearer ${token}`)?.name).toBe(name);
  expect(compare).toHaveBeenCalledTimes(NAMES.length);
  for (const [known, given] of compare.mock.calls) {
    expect([known.byteLength, given.byteLength]).toEqual([32, 32]);
  }
});

test("a holder may do what the list says now: nothing if its token, or its name, is another", () => {
  const token = "0123456789abcdef";
  const list = Tokens.parse(`ann read ${token}`);
  const holder = list.holderOf(`Bearer ${token}`);
  if (holder === undefined) throw new Error("the token is not known");
  const scopesIn = (text: string): readonly string[] | undefined => {
    list.replaceBy(Tokens.parse(text));
    const scopes = list.scopesOf(holder);
    return scopes && [...scopes];
  };
  expect(scopesIn(`ann read,admin ${token}`)).toEqual(["read", "admin"]);
  expect(scopesIn(`bob read,admin ${token}`)).toBeUndefined();
  expect(scopesIn(`ann admin ${token}-of-another\nbob read ${token}`)).toBeUndefined();
  expect(scopesIn(`ann read ${token}`)).toEqual(["read"]);
});
