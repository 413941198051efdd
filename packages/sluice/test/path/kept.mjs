// Prints how many of 1,000 ids V8 keeps as flat texts in a store in memory, and not as views of others, whose text a heap
// snapshot does not show. Argument: the directory of the build.
import { json } from "node:stream/consumers";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { getHeapSnapshot } from "node:v8";

/**
 * As much of a heap snapshot as says what texts there are.
 * @typedef {object} Snapshot
 * @property {{ meta: { node_fields: string[], node_types: [string[]] } }} snapshot
 * @property {number[]} nodes
 * @property {string[]} strings
 */

const { href } = pathToFileURL(join(process.argv[2] ?? "", "dist/index.js"));
const { RateLimiter, tokenBucket } = /** @type {typeof import("../../src/index.js")} */ (
  await import(href)
);
const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }) });
for (let i = 0; i < 1000; i++) limiter.consumeSync(`kept:${i}:user`);

const { snapshot, nodes, strings } = /** @type {Snapshot} */ (await json(getHeapSnapshot()));
const { node_fields: fields, node_types: types } = snapshot.meta;
let flat = 0;
for (let at = 0; at < nodes.length; at += fields.length) {
  const text = strings[nodes[at + fields.indexOf("name")] ?? 0];
  const kind = types[0][nodes[at + fields.indexOf("type")] ?? 0];
  if (kind === "string" && text?.startsWith("kept:")) flat += 1;
}
process.stdout.write(String(flat));
limiter.consumeSync("other");
