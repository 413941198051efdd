/** What has changed in a document, in lines that read without it. */
import type { RuleChange } from "sluice/policies";

const MOST_LINES = 500;

/** `+ rule login`, and below it what it holds; `~` and `-` likewise. */
export function diffLines(changes: readonly RuleChange[]): readonly string[] {
  const lines = changes.flatMap(({ part, name, before, after }) => {
    const sign = before === undefined ? "+" : after === undefined ? "-" : "~";
    const [was, is] = [leavesOf(before), leavesOf(after)];
    const own = [...new Set([...was.keys(), ...is.keys()])].flatMap((path) => {
      const [old, now] = [was.get(path), is.get(path)];
      if (old === now) return [];
      const label = path === "" ? "" : `${path}: `;
      if (sign !== "~") return [`    ${label}${now ?? old}`];
      return [`    ${label}${old ?? "(absent)"} → ${now ?? "(absent)"}`];
    });
    return [`${sign} ${part} ${name}`, ...own];
  });
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `… and ${lines.length - MOST_LINES} lines more`];
}

/** One line: `2 rules: api, login`. */
export function changesText(changes: readonly RuleChange[]): string {
  const parts = ["rule", "override", "plan", "setting"] as const;
  const texts = parts.flatMap((part) => {
    const names = changes.filter((each) => each.part === part).map(({ name }) => name);
    if (names.length === 0) return [];
    const shown = names.slice(0, MOST_NAMES).join(", ");
    const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
    return [`${part}${names.length > 1 ? "s" : ""} ${shown}${more}`];
  });
  return texts.length === 0 ? "nothing changed" : texts.join("; ");
}

const MOST_NAMES = 5;

/** Every value that is no object, by its path: `policy.limit`. */
function leavesOf(value: unknown, path = ""): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject) return new Map([[path, JSON.stringify(value)]]);
  const below = (name: string): string => (path === "" ? name : `${path}.${name}`);
  return new Map(Object.entries(value).flatMap(([name, each]) => [...leavesOf(each, below(name))]));
}
