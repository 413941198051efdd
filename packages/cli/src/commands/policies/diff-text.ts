/** Prints what has changed in a document of policies. */
import type { RuleChange } from "sluice/policies";
import { printable, valueText } from "../../terminal/format.js";
import type { Terminal } from "../../terminal/terminal.js";

/** The changes, a few lines each; a sentence if there are none. */
export function diffText(changes: readonly RuleChange[], terminal: Terminal): string {
  if (changes.length === 0) return "nothing changes\n";
  return `${changes.flatMap((change) => changeLines(change, terminal)).join("\n")}\n`;
}

function changeLines({ part, name, before, after }: RuleChange, terminal: Terminal): string[] {
  const head = `${part} ${printable(name)}`;
  if (before === undefined) {
    return [terminal.paint("green", `+ ${head}`), ...whole("+", after, terminal)];
  }
  if (after === undefined) {
    return [terminal.paint("red", `- ${head}`), ...whole("-", before, terminal)];
  }
  const [was, is] = [leavesOf(before), leavesOf(after)];
  const lines = [terminal.paint("yellow", `~ ${head}`)];
  for (const path of new Set([...was.keys(), ...is.keys()])) {
    const [old, now] = [was.get(path), is.get(path)];
    if (old === now) continue;
    const label = path === "" ? "" : `${printable(path)}: `;
    const text = [old ?? "(absent)", now ?? "(absent)"].map(printable).join(" → ");
    lines.push(`    ${label}${text}`);
  }
  return lines;
}

function whole(sign: "+" | "-", value: unknown, terminal: Terminal): string[] {
  return [...leavesOf(value)].map(([path, text]) => {
    const line = `    ${path === "" ? "" : `${printable(path)}: `}${printable(text)}`;
    return terminal.paint(sign === "+" ? "green" : "red", line);
  });
}

/** Every value that is no object, by its path: `policy.limit`. */
function leavesOf(value: unknown, path = ""): ReadonlyMap<string, string> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject) return new Map([[path, valueText(value)]]);
  const below = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return new Map(Object.entries(value).flatMap(([name, each]) => [...leavesOf(each, below(name))]));
}
