/** Finds the tools of an algorithm. */
import type { PolicyBase } from "./algorithm.js";
import { algorithmTools } from "./generated.js";
import { algorithms } from "./list.js";
import type { AlgorithmTools } from "./tools.js";

const byId = new Map<string, AlgorithmTools>(
  algorithmTools.map((tools) => [tools.algorithm.id, tools as unknown as AlgorithmTools]),
);

/** Those of every algorithm, in the order of the list. */
export const everyAlgorithmsTools: readonly AlgorithmTools[] = algorithms.map(({ id }) => find(id));

export function toolsOf(policy: PolicyBase): AlgorithmTools {
  return find(policy.algorithm);
}

function find(id: string): AlgorithmTools {
  const tools = byId.get(id);
  if (tools === undefined) throw new Error(`${id} has no tools.ts: run "npm run generate"`);
  return tools;
}
