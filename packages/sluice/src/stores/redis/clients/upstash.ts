/** All that Sluice knows of @upstash/redis, which sends each command as an HTTP request. */
import { withReload } from "../scripts.js";
import { fieldOf } from "../../../core/shown.js";
import { type ClientAdapter, type ClientMethod, isObjectWith } from "./client.js";

/** @upstash/redis. */
export interface UpstashLike {
  evalsha: ClientMethod;
  eval: ClientMethod;
  createScript: ClientMethod;
}

interface Upstash extends UpstashLike {
  evalsha(sha: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  eval(source: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
}

export const upstash: ClientAdapter<Upstash> = {
  fits: (client): client is Upstash => isObjectWith(client, "createScript"),
  runnerOf: (client) =>
    withReload({
      evalSha: (sha, keys, args) => client.evalsha(sha, keys, args),
      eval: (source, keys, args) => client.eval(source, keys, args),
    }),
  hazardsOf: (client) => {
    const attempts = fieldOf(fieldOf(fieldOf(client, "client"), "retry"), "attempts");
    if (typeof attempts !== "number" || attempts <= 1) return [];
    const harm = "a call whose answer was lost is sent again, and may count twice";
    return [{ better: "retry: false", harm, severity: "warning" }];
  },
};
