// Run by Jest: a test in CommonJS, whose require cannot load the library, imports it.
/* global expect, test */
test("a test in CommonJS imports the library", async () => {
  const { RateLimiter, tokenBucket } = await import("sluice");
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
  expect((await limiter.consume("k")).allowed).toBe(true);
  expect((await limiter.consume("k")).allowed).toBe(false);
  await limiter.close();
});
