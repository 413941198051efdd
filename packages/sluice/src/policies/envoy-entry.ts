/** Which entry a key of a descriptor of Envoy's is. */

/**
 * The name of the entry for a key that may appear in a descriptor several times: `key` itself, then `key#2`, `key#3` and so
 * on, the first that is not taken. `importEnvoy` names the entries of its rules so, and code that translates Envoy's
 * requests must do the same.
 *
 * @throws nothing
 * @example
 * import { envoyEntry } from "sluice/policies";
 * const entries = new Map([["domain", "edge"], ["path", "/a"]]);
 * console.log(envoyEntry("path", (name) => entries.has(name))); // path#2
 */
export function envoyEntry(key: string, isTaken: (name: string) => boolean): string {
  let name = key;
  for (let count = 2; isTaken(name); count++) name = `${key}#${count}`;
  return name;
}
