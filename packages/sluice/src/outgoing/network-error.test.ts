/** Failures of the network, of every platform and realm, and what looks like one. */
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { isNetworkError } from "./network-error.js";

const coded = (code: string, cause?: unknown): Error =>
  Object.assign(new Error("x", { cause }), { code });
const failed = (cause?: unknown): TypeError => new TypeError("fetch failed", { cause });
const ofOtherRealm = (source: string): unknown => runInNewContext(source);
const around = new Error("round");
around.cause = around;

test.each<[string, unknown]>([
  ["undici's, by the code of its cause", failed(coded("ECONNRESET"))],
  ["undici's, by a cause with a name of its own", failed(coded("UND_ERR_SOCKET"))],
  ["several addresses that refuse", failed(coded("ECONNREFUSED", new AggregateError([])))],
  [
    "several errors without a code",
    failed(new AggregateError([new Error("x"), coded("ETIMEDOUT")])),
  ],
  ["of another realm", ofOtherRealm(`new TypeError("fetch failed")`)],
  [
    "of another realm, with a cause",
    ofOtherRealm(
      `new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "ENOTFOUND" }) })`,
    ),
  ],
  [
    "node-fetch's",
    Object.assign(new Error("request failed"), { type: "system", code: "ECONNREFUSED" }),
  ],
  ["Chrome's", new TypeError("Failed to fetch")],
  ["Chrome's, with the address", new TypeError("Failed to fetch (a.invalid)")],
  ["Firefox's", new TypeError("NetworkError when attempting to fetch resource.")],
  ["Safari's", new TypeError("Load failed")],
  ["React Native's", new TypeError("Network request failed")],
  ["Deno's", new TypeError("error sending request for url (http://a.invalid/)")],
  ["Bun's", coded("ConnectionRefused")],
  ["of Workers", new Error("Network connection lost.")],
])("%s is one", (_, error) => {
  expect(isNetworkError(error)).toBe(true);
});

describe("none is", () => {
  test.each<[string, unknown]>([
    [
      "a method that takes no body",
      new TypeError("Request with GET/HEAD method cannot have body."),
    ],
    ["a header that is none", new TypeError('Headers.append: "a b" is an invalid header name.')],
    ["a mistake in somebody's own fetch", new TypeError("x is not a function")],
    ["an argument that undici refuses", failed(coded("UND_ERR_INVALID_ARG"))],
    ["a scheme that is none", failed(new Error("unknown scheme"))],
    ["a port that is not allowed", failed(new Error("bad port"))],
    ["a redirect that the caller forbids", failed(new Error("unexpected redirect"))],
    ["a certificate that is over", failed(coded("CERT_HAS_EXPIRED"))],
    ["an abort", new DOMException("This operation was aborted", "AbortError")],
    ["a cause that goes round", around],
    ["text", "fetch failed"],
    ["nothing", undefined],
    ["null", null],
  ])("%s", (_, error) => {
    expect(isNetworkError(error)).toBe(false);
  });

  test("what the platform itself says of mistakes", async () => {
    const mistakes: [string, RequestInit][] = [
      ["http://a.invalid/", { method: "GET", body: "x" }],
      ["http://a.invalid/", { method: "a b" }],
      ["unknown://a.invalid/", {}],
      ["http://a.invalid:1/", {}],
      ["http://user@a.invalid/", {}],
    ];
    for (const [url, init] of mistakes) {
      const error: unknown = await fetch(url, init).catch((caught: unknown) => caught);
      expect([url, (error as Error).name, isNetworkError(error)]).toEqual([
        url,
        "TypeError",
        false,
      ]);
    }
  });
});
