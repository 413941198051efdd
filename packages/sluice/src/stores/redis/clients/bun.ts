/** All that Sluice knows of the client that Bun has built in. */
import { withReload } from "../scripts.js";
import { type ClientAdapter, type ClientMethod, isObjectWith } from "./client.js";

/** Bun's own client. */
export interface BunLike {
  send: ClientMethod;
}

interface Bun extends BunLike {
  send(command: string, args: readonly string[]): Promise<unknown>;
}

export const bun: ClientAdapter<Bun> = {
  fits: (client): client is Bun => isObjectWith(client, "send"),
  runnerOf: (client) =>
    withReload({
      evalSha: (sha, keys, args) =>
        client.send("EVALSHA", [sha, String(keys.length), ...keys, ...args]),
      eval: (source, keys, args) =>
        client.send("EVAL", [source, String(keys.length), ...keys, ...args]),
    }),
  serversOf: async (client) => [
    { address: "", send: ([name = "", ...args]) => client.send(name, args) },
  ],
};
