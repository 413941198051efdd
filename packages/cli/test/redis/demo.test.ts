/** Two demos that share a Redis share their limits and their document. */
import { PublishedPolicies } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { expect, inject, onTestFinished, test } from "vitest";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

test("two demos on one Redis admit together what one may", async () => {
  const store = await RedisStore.connect(inject("redisUrl"));
  onTestFinished(() => store.close());
  const published = new PublishedPolicies({ store, name: "sluice-demo" });
  const beganMs = performance.now();
  const demos = [1, 2].map(async () => {
    const process = fakeProcess();
    const argv = ["demo", "--port", "0", "--seconds", "3", "--redis", inject("redisUrl")];
    const code = await run(argv, process.io);
    return { code, stdout: process.stdout(), stderr: process.stderr() };
  });
  const ended = await Promise.all(demos);
  const seconds = (performance.now() - beganMs) / 1000;
  const allowed = ended.map(({ code, stdout, stderr }) => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Sluice limits five callers, in redis:/);
    return Number(/^ *dodgy +\d+ +(\d+)/m.exec(stdout)?.[1]);
  });
  expect(Math.min(...allowed)).toBeGreaterThan(0);
  expect((allowed[0] ?? 0) + (allowed[1] ?? 0)).toBeLessThanOrEqual(10 + 10 * seconds);
  // The second did not publish the document anew.
  expect(await published.version()).toBe(1);
});
