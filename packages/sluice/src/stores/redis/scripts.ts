/**
 * Scripts: put together from the kernels that a batch needs, named by their SHA-1, and run by it. The text is sent if the
 * server may not know it: on first use, after SCRIPT FLUSH, and after a failover to a server that never saw it.
 */
import type { AskScript, NodeOf } from "./clients/client.js";
import { digests } from "../../core/digest.js";
import * as lua from "./scripts/generated.js";
import type { Kernel } from "../../algorithms/kernel.js";
import { slotOf, tagIn } from "./slot.js";
import { looped, type PolicyHead, unrolled } from "./straight.js";

export interface Script {
  readonly source: string;
  /** Lower-case hexadecimal, as EVALSHA wants it. */
  readonly sha: string;
}

/**
 * What a part of a batch is made of, and the name of its script: "consume" = nothing but consumes on one debit, whose state
 * is one value; "sets" = on several such debits, or on one.
 */
export type BatchKind = "consume" | "sets" | "any";

/** What the script of a part of a batch is made of. */
export interface ScriptParts {
  readonly kind: BatchKind;
  readonly kernels: ReadonlySet<Kernel>;
  /** Of sets that are all over the same sequence of algorithms, with a straight text: the heads of the first one's policies. */
  readonly sequence: readonly PolicyHead[] | undefined;
}

/** By name and tags of kernels. */
const scripts = new Map<string, Script>();

/** The script for such a part of a batch, made once for what it is made of. */
export function scriptFor({ kind, kernels, sequence }: ScriptParts): Script {
  if (sequence !== undefined) return straightScript(kind, sequence);
  return known(kind, [...kernels].map(({ tag }) => tag).sort());
}

/** The text of a script for this sequence of policies, whose numbers are where the batch has them. */
function straightScript(kind: BatchKind, sequence: readonly PolicyHead[]): Script {
  const id = `${kind} of ${shapeOf(sequence)}`;
  let script = scripts.get(id);
  if (script === undefined) {
    const numbers = sequence.map(([, count], i) => {
      const placeOf = (_: unknown, k: number): string =>
        `ARGV[policies[indexes[${i + 1}]].at + ${k + 1}]`;
      return Array.from({ length: Number(count) }, placeOf);
    });
    const tags = sequence.map(([tag]) => tag as string);
    script = scriptOf(withAlgorithms(unrolled(lua.scripts[kind], tags, numbers), tags));
    scripts.set(id, script);
  }
  return script;
}

/** What tells texts apart that have no numbers of policies in them. */
export function shapeOf(sequence: readonly PolicyHead[]): string {
  return sequence.map(([tag, count]) => `${tag}${count}`).join(" ");
}

/** The script of the semaphore. */
export function semaphoreScript(): Script {
  return known("semaphore", []);
}

/** The script of documents. */
export function documentScript(): Script {
  return known("document", []);
}

/** The script of reports. */
export function reportScript(): Script {
  return known("report", []);
}

/** The script of overrides. */
export function overrideScript(): Script {
  return known("override", []);
}

function known(name: keyof typeof lua.scripts, tags: readonly string[]): Script {
  const id = `${name} ${tags.join("")}`;
  let script = scripts.get(id);
  if (script === undefined) {
    script = scriptOf(withAlgorithms(looped(lua.scripts[name]), tags));
    scripts.set(id, script);
  }
  return script;
}

export function scriptOf(source: string): Script {
  return { source, sha: digests.sha1(source) };
}

/** Puts the kernels and fast paths with these tags into a text, at its directives for them. */
export function withAlgorithms(text: string, tags: readonly string[]): string {
  return text
    .replaceAll("-- @fast-paths", () => distinct(tags.map((tag) => lua.fastPaths[tag] ?? "")))
    .replaceAll("-- @kernels", () => distinct(tags.map(kernelOf)));
}

function kernelOf(tag: string): string {
  const source = lua.kernels[tag];
  if (source === undefined) throw new Error(`no kernel.lua defines kernels.${tag}`);
  return source;
}

/** Kernels may share a source. */
function distinct(sources: readonly string[]): string {
  return [...new Set(sources)].join("\n");
}

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
export function withReload(commands: ScriptCommands, options: ReloadOptions = {}): AskScript {
  const { nodeOf, unknownScript = UNKNOWN_SCRIPT } = options;
  const sent = new Set<string>();
  const isFirst = (sha: string, keys: readonly string[]): boolean => {
    const node = nodeOf?.(slotOf(tagIn(keys[0] ?? "")));
    // A Cluster's client that has no table yet sends it to any node.
    if (node === "") return true;
    const place = node === undefined ? sha : `${sha} ${node}`;
    if (sent.has(place)) return false;
    sent.add(place);
    return true;
  };
  return (sha, source, keys, args, replied, failed) => {
    if (isFirst(sha, keys)) {
      commands.eval(source, keys, args).then(replied, failed);
      return;
    }
    commands.evalSha(sha, keys, args).then(replied, (error: unknown) => {
      try {
        if (!unknownScript.test(String(error))) failed(error);
        else commands.eval(source, keys, args).then(replied, failed);
      } catch (thrown) {
        failed(thrown);
      }
    });
  };
}
