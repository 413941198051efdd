/** Upstash's limiter, @upstash/ratelimit, on a plain connection to Redis instead of its HTTP client. */
import { createHash } from "node:crypto";
import { Ratelimit } from "@upstash/ratelimit";
import { DENIED } from "../../workload.mjs";

export const algorithm = "token bucket";

/** @typedef {ConstructorParameters<typeof Ratelimit>[0]["redis"]} RedisOption */
/** @typedef {(script: string, keys: string[], args: unknown[]) => Promise<unknown>} Eval */

/** Names a flag that only Upstash's server knows; other servers refuse the script. */
const SHEBANG = /^#!lua flags=allow-key-locking\n/;

/**
 * The two methods of @upstash/redis that `limit` calls, on a plain connection.
 * @param {import("../../clients.mjs").Client} client
 * @returns {{ evalsha: Eval, eval: Eval }}
 */
function adapterOn({ kind, raw }) {
  /** From the library's names of scripts to those of the same without the first line. */
  /** @type {Map<string, string>} */
  const names = new Map();
  const sha1 = (/** @type {string} */ source) => createHash("sha1").update(source).digest("hex");
  return {
    evalsha: async (sha, keys, args) => {
      const name = names.get(sha);
      if (name === undefined) throw new Error("NOSCRIPT");
      const strings = args.map(String);
      return kind === "ioredis"
        ? raw.evalsha(name, keys.length, ...keys, ...strings)
        : raw.evalSha(name, { keys, arguments: strings });
    },
    eval: async (source, keys, args) => {
      const plain = source.replace(SHEBANG, "");
      const strings = args.map(String);
      const reply = await (kind === "ioredis"
        ? raw.eval(plain, keys.length, ...keys, ...strings)
        : raw.eval(plain, { keys, arguments: strings }));
      names.set(sha1(source), sha1(plain));
      return reply;
    },
  };
}

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open(client, { limit, periodMs }) {
  const limiter = new Ratelimit({
    redis: /** @type {RedisOption} */ (/** @type {unknown} */ (adapterOn(client))),
    limiter: Ratelimit.tokenBucket(limit, `${periodMs} ms`, limit),
  });
  return {
    call: (/** @type {string} */ key) => limiter.limit(key),
    remaining: (
      /** @type {Awaited<ReturnType<typeof limiter.limit>>} */ { success, reason, remaining },
    ) => (success && reason === undefined ? remaining : DENIED),
    close: () => {},
  };
}
