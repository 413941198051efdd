/**
 * Runs scripts by their SHA-1, and sends the text where the server may not know it: on first use, after SCRIPT FLUSH,
 * and after a failover to a server that never saw it.
 */
import type { NodeOf, RunScript } from "./clients/client.js";
import { slotOf, tagIn } from "./slot.js";

/** The two commands of a client that run a script. */
export interface ScriptCommands {
  evalSha(sha: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  eval(source: string, keys: readonly string[], args: readonly string[]): Promise<unknown>;
}

export interface ReloadOptions {
  /** For a Cluster, whose nodes learn scripts one by one. */
  readonly nodeOf?: NodeOf | undefined;
  /** What an error says if the server does not know the script. */
  readonly unknownScript?: RegExp;
}

/** Not after a bracket: some errors repeat the command there, whose key may say anything. */
const UNKNOWN_SCRIPT = /^[^[]*NOSCRIPT/;

/**
 * The first time a script goes in full, to each node of a Cluster: to ask whether the server knows it would cost a
 * round trip, in which later calls would overtake this one if the server knows their script.
 */
export function withReload(commands: ScriptCommands, options: ReloadOptions = {}): RunScript {
  const { nodeOf, unknownScript = UNKNOWN_SCRIPT } = options;
  const sent = new Set<string>();
  const isFirst = (sha: string, keys: readonly string[]): boolean => {
    const node = nodeOf?.(slotOf(tagIn(keys[0] ?? "")));
    // A Cluster's client that has no table yet sends it to any node.
    if (node === "") return true;
    const place = `${sha} ${node ?? ""}`;
    if (sent.has(place)) return false;
    sent.add(place);
    return true;
  };
  return async (sha, source, keys, args) => {
    if (isFirst(sha, keys)) return commands.eval(source, keys, args);
    try {
      return await commands.evalSha(sha, keys, args);
    } catch (error) {
      if (!unknownScript.test(String(error))) throw error;
      return commands.eval(source, keys, args);
    }
  };
}
