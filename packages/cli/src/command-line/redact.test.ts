import { describe, expect, test } from "vitest";
import { redactSecrets, redactUrl } from "./redact.js";

describe("a URL is shown without its password", () => {
  const cases: [url: string, shown: string][] = [
    ["redis://localhost:6379/0", "redis://localhost:6379/0"],
    ["redis://:s3cret@localhost:6379", "redis://:***@localhost:6379"],
    ["rediss://ann:s3cret@host/1?x=y", "rediss://ann:***@host/1?x=y"],
    ["redis://token@host", "redis://***@host"],
    ["redis://ann:a:b@c@host", "redis://ann:***@host"],
    ["ann:s3cret@host:1", "ann:***@host:1"],
  ];
  for (const [url, shown] of cases) {
    test(url, () => {
      expect(redactUrl(url)).toBe(shown);
    });
  }
});

describe("a message is shown without the URL's password", () => {
  test("as it was typed, and decoded", () => {
    const url = "redis://ann:p%40ss@host";
    expect(redactSecrets(`cannot connect to ${url}: AUTH ann p@ss failed (p%40ss)`, url)).toBe(
      "cannot connect to redis://ann:***@host: AUTH ann *** failed (***)",
    );
  });

  test("and a short one is not told by the words in which it is masked", () => {
    expect(redactSecrets("expected +PONG: AUTH p failed (p)", "redis://:p@host")).toBe(
      "expected +PONG: AUTH *** failed (***)",
    );
    for (const secret of ["$&", ".*", "a-b", "[", "\\"]) {
      const url = `redis://:${encodeURIComponent(secret)}@host`;
      expect(redactSecrets(`abc AUTH ${secret} xyz`, url)).toBe("abc AUTH *** xyz");
    }
  });

  test("and stays as it is if there is none", () => {
    expect(redactSecrets("ECONNREFUSED 127.0.0.1", "redis://127.0.0.1")).toBe(
      "ECONNREFUSED 127.0.0.1",
    );
    expect(redactSecrets("ECONNREFUSED", undefined)).toBe("ECONNREFUSED");
    expect(redactSecrets("fine", "redis://ann:@host")).toBe("fine");
    expect(redactSecrets("fine", "redis://ann:%@host")).toBe("fine");
  });
});
