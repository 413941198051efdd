/**
 * All variants of a framework in one process, asked in batches in random order: what a batch costs more than one of the
 * bare server beside it is what the limiter costs.
 */
import { Client } from "./client.mjs";
import { SCENARIOS } from "./scenarios.mjs";
import { FRAMEWORKS } from "./variant.mjs";

/** @typedef {import("./client.mjs").Reply} Reply */

const WARM_UP = 3000;

const [framework = "", name = "", url = "", batchesText = ""] = process.argv.slice(2);
const batches = Number(batchesText);
const load = FRAMEWORKS[framework];
if (load === undefined) throw new Error(`${framework}?`);
const scenario = scenarioOf(name);

const { PEER, variants } = await load();
const servers = await variants(scenario, url);
const clients = Object.entries(servers).map(([variant, { port }]) => {
  return { variant, client: new Client(port, scenario) };
});

/** @type {Record<string, number[]>} */
const costs = Object.fromEntries(Object.keys(servers).map((variant) => [variant, []]));

/** @param {string} variant */
function expecting(variant) {
  const isBare = variant === "bare";
  const status = scenario.isDenied && !isBare ? 429 : 200;
  return (/** @type {Reply} */ reply) => {
    // Looked for in every answer, so that it costs the bare server's too.
    const isStated = /\r\n(?:x-)?ratelimit/i.test(reply.head);
    if (reply.status === status && isStated !== isBare) return;
    throw new Error(`${variant} answered ${reply.status}:\n${reply.head}`);
  };
}

// Each key once, so that limits of one are used up; and until everything is compiled.
for (const { variant, client } of clients) {
  await client.send(scenario.keys, () => {});
  await client.send(WARM_UP, expecting(variant));
}

for (let i = 0; i < batches; i++) {
  for (const { variant, client } of shuffled(clients)) {
    const before = process.cpuUsage();
    await client.send(scenario.batch, expecting(variant));
    const { user, system } = process.cpuUsage(before);
    costs[variant]?.push((user + system) / scenario.batch);
  }
}

for (const { client } of clients) client.close();
for (const { close } of Object.values(servers)) await close();
process.send?.({ peer: PEER, costs });
process.disconnect?.();

/** @param {string} asked */
function scenarioOf(asked) {
  const found = SCENARIOS[asked];
  if (found === undefined) throw new Error(`${asked}?`);
  return found;
}

/**
 * @template T
 * @param {readonly T[]} list
 */
function shuffled(list) {
  return list
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
