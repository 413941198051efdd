import { expect, test } from "vitest";
import { readServerFacts, timingOf } from "./server-facts.js";

const reply: Readonly<Record<string, unknown>> = {
  INFO: "# Server\r\nredis_version:8.0.2\r\nmaster_replid:a:b\r\n",
  CLUSTER: "cluster_state:ok\r\n",
  TIME: ["1800000000", "5"],
};

const linkWith = (config: (name: string) => unknown) => ({
  address: "h:1",
  send: async ([command = "", , name = ""]: readonly string[]): Promise<unknown> =>
    command === "CONFIG" ? config(name) : reply[command],
});

test.each([
  ["a list", (name: string): unknown => [name, "5000"]],
  ["a map", (name: string): unknown => new Map([[name, "5000"]])],
  ["an object", (name: string): unknown => ({ [name]: "5000" })],
  ["a list of pairs", (name: string): unknown => [{ key: name, value: "5000" }]],
])("settings are read where the client gives %s", async (_, config) => {
  const facts = await readServerFacts(linkWith(config), true);
  expect(facts.config.get("busy-reply-threshold")).toBe("5000");
  expect(facts.config.get("save")).toBe("5000");
  expect(facts.info.get("redis_version")).toBe("8.0.2");
  expect(facts.info.get("master_replid")).toBe("a:b");
  expect(facts.cluster.get("cluster_state")).toBe("ok");
  expect(facts.refused).toEqual([]);
});

test("what the server refuses is left out, and listed once", async () => {
  const send = async (): Promise<unknown> => {
    throw new Error("NOPERM");
  };
  const facts = await readServerFacts({ address: "h:1", send }, false);
  expect(facts.refused).toEqual(["INFO", "CONFIG GET", "TIME"]);
  expect([facts.info.size, facts.config.size, facts.timing]).toEqual([0, 0, undefined]);
});

test("a clock that is ahead by a minute is seen, and how exactly", async () => {
  const aheadUs = 60e6;
  const timing = await timingOf(async () => {
    const us = Math.floor(Date.now() * 1e3) + aheadUs;
    return [Math.floor(us / 1e6), us % 1e6];
  });
  expect(timing.tripsMs.length).toBeGreaterThan(0);
  expect(timing.tripsMs).toEqual([...timing.tripsMs].sort((a, b) => a - b));
  // The stand-in's clock counts whole milliseconds.
  expect(Math.abs(timing.offsetMs - 60_000)).toBeLessThanOrEqual(timing.uncertaintyMs + 2);
  expect(timing.uncertaintyMs * 2).toBeCloseTo(timing.tripsMs[0] ?? Number.NaN, 6);
});

test("a reply that is no time is an error", async () => {
  await expect(timingOf(async () => ["now"])).rejects.toThrow(/does not tell its time/);
});
