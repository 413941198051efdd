/** All that Sluice knows of @valkey/valkey-glide: GlideClient and GlideClusterClient. */
import { withReload } from "../scripts.js";
import { type ClientAdapter, type ClientMethod, isObjectWith } from "./client.js";

/** @valkey/valkey-glide: client or Cluster client. */
export interface GlideLike {
  customCommand: ClientMethod;
}

interface Glide extends GlideLike {
  customCommand(command: readonly string[]): Promise<unknown>;
}

/** It replaces the server's error codes by its own words, after "An error was signalled by the server: - ". */
const NO_SCRIPT = /^[^[]*(?:NOSCRIPT|NoScriptError)/;
const SEVERAL_SLOTS = /^(?:[\w ]+: (?:- )?)?CrossSlot\b/;
const UNREACHABLE_KEY =
  /^(?:[\w ]+: (?:- )?)?PermissionDenied\b[^[]* access (?:a key|one of the keys)\b/;
const QUEUE_IS_FULL = /^[^[]*\bmaximum inflight requests\b/i;

export const glide: ClientAdapter<Glide> = {
  fits: (client): client is Glide => isObjectWith(client, "customCommand"),
  runnerOf: (client) => {
    const run = (
      command: "EVALSHA" | "EVAL",
      script: string,
      keys: readonly string[],
      args: readonly string[],
    ): Promise<unknown> =>
      client.customCommand([command, script, String(keys.length), ...keys, ...args]);
    return withReload(
      {
        evalSha: (sha, keys, args) => run("EVALSHA", sha, keys, args),
        eval: (source, keys, args) => run("EVAL", source, keys, args),
      },
      { unknownScript: NO_SCRIPT },
    );
  },
  // A Cluster's client answers from some node or from all, depending on the command.
  serversOf: async (client) =>
    client.constructor.name === "GlideClusterClient"
      ? []
      : [{ address: "", send: (command) => client.customCommand(command) }],
  // It shows no table. If a bundler has shortened the name, the store learns of the Cluster from its first refusal.
  clusterOf: (client) =>
    client.constructor.name === "GlideClusterClient" ? { nodeOf: undefined } : undefined,
  refusalIn: ({ message }) => {
    if (SEVERAL_SLOTS.test(message)) return "severalSlots";
    return UNREACHABLE_KEY.test(message) ? "unreachableKey" : undefined;
  },
  saysQueueIsFull: ({ message }) => QUEUE_IS_FULL.test(message),
};
