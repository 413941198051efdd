/**
 * The texts of scripts/lone.lua: one for each sequence of policies that are known ahead, with their numbers in it, which
 * spares the server reading arguments; and for all others one for each sequence of algorithms.
 */
import type { Rule } from "../../algorithms/rule.js";
import { policyHeadOf } from "./batch.js";
import * as lua from "./scripts/generated.js";
import { type Script, scriptOf, shapeOf, withAlgorithms } from "./scripts.js";
import { isStraight, looped, type PolicyHead, unrolled } from "./straight.js";

/** A script, and its arguments behind the costs. */
export interface LoneScript {
  readonly script: Script;
  readonly numbers: readonly string[];
}

/** A server keeps every script that it ever ran, so a store makes at most this many texts with numbers in them. */
const MAX_TEXTS = 64;
const NONE: readonly string[] = [];

/** The texts without numbers, by tags and how many numbers each has. */
const general = new Map<string, Script>();

export class LoneScripts {
  /** By tags and numbers: policies that decide alike share one. */
  readonly #texts = new Map<string, Script>();

  /** Makes the text for policies that will decide again and again. Sends nothing. */
  prepare(rules: readonly Rule[]): void {
    if (!isStraight(rules) || this.#texts.size >= MAX_TEXTS) return;
    const heads = rules.map(policyHeadOf);
    const id = heads.join(" ");
    if (!this.#texts.has(id)) this.#texts.set(id, scriptOf(textOf(heads, true)));
  }

  /** For policies that can go alone. */
  of(rules: readonly Rule[]): LoneScript {
    const heads = rules.map(policyHeadOf);
    const own = this.#texts.get(heads.join(" "));
    if (own !== undefined) return { script: own, numbers: NONE };
    const id = shapeOf(heads);
    let script = general.get(id);
    if (script === undefined) {
      script = scriptOf(textOf(heads, false));
      general.set(id, script);
    }
    return { script, numbers: heads.flatMap(([, , ...numbers]) => numbers) };
  }
}

function textOf(heads: readonly PolicyHead[], isFixed: boolean): string {
  // Behind the clock, the block and the costs.
  let at = 2 + heads.length;
  const argument = (): string => `ARGV[${++at}]`;
  const tags = heads.map(([tag]) => tag as string);
  const numbers = heads.map(([, , ...own]) => (isFixed ? own : own.map(argument)));
  const text = unrolled(lua.scripts.lone, tags, numbers).replace("-- @batch", () => {
    return batchText(heads, isFixed ? numbers.map(quoted) : numbers);
  });
  return withAlgorithms(text, tags);
}

/** The script of batches, and its arguments for a batch of this one call, see batch.ts. */
function batchText(heads: readonly PolicyHead[], numbers: readonly (readonly string[])[]): string {
  const policies = heads.flatMap(([tag, count], i) => {
    return [...quoted([tag as string, count as string]), ...(numbers[i] as readonly string[])];
  });
  const costs = heads.map((_, i) => `'${i + 1}', ARGV[${i + 3}]`);
  const isSet = heads.length > 1;
  const args = [
    "ARGV[1]",
    `'${heads.length}'`,
    ...policies,
    // The block; the first key, its stride, and how many calls.
    "ARGV[2], '1', '0', '1'",
    ...(isSet ? [`'${heads.length}'`] : []),
    ...costs,
  ];
  return `local ARGV = { ${args.join(", ")} }\n${looped(lua.scripts[isSet ? "sets" : "consume"])}`;
}

function quoted(texts: readonly string[]): string[] {
  return texts.map((text) => `'${text}'`);
}
