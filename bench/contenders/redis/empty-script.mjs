/** One EVALSHA of a script that does nothing: the least that a limiter with a script can cost. */
import { createHash } from "node:crypto";
import { DENIED } from "../../workload.mjs";

export const algorithm = "none";

const SOURCE = "return 1";
const SHA = createHash("sha1").update(SOURCE).digest("hex");

/** One EVALSHA with one key, as a limiter would send it. */
export async function open(/** @type {import("../../clients.mjs").Client} */ { kind, raw }) {
  await (kind === "ioredis" ? raw.eval(SOURCE, 0) : raw.eval(SOURCE));
  return {
    call:
      kind === "ioredis"
        ? (/** @type {string} */ key) => raw.evalsha(SHA, 1, key)
        : (/** @type {string} */ key) => raw.evalSha(SHA, { keys: [key], arguments: [] }),
    remaining: (/** @type {unknown} */ reply) => (reply === 1 ? undefined : DENIED),
    close: () => {},
  };
}
