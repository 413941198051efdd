/** What has changed in a document, in lines that read without it. */
import type { PolicyRule, RuleChange } from "sluice/policies";
import { limitText } from "./limit-text.js";

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

/** One line: `rules api (2 in any 1 min beside, not enforced), login (5 in any 15 min)`. */
export function changesText(changes: readonly RuleChange[]): string {
  const parts = ["rule", "override", "plan", "setting"] as const;
  const texts = parts.flatMap((part) => {
    const ofPart = changes.filter((each) => each.part === part);
    if (ofPart.length === 0) return [];
    const shown = ofPart.slice(0, MOST_NAMES).map(nameAndEffect).join(", ");
    const more = ofPart.length > MOST_NAMES ? ` and ${ofPart.length - MOST_NAMES} more` : "";
    return [`${part}${ofPart.length > 1 ? "s" : ""} ${shown}${more}`];
  });
  return texts.length === 0 ? "nothing changed" : texts.join("; ");
}

function nameAndEffect({ part, name, before, after }: RuleChange): string {
  const effect = part === "rule" ? effectOf(before as PolicyRule, after as PolicyRule) : "";
  return effect === "" ? name : `${name} (${effect})`;
}

/** Whether a rule's limit is another for all keys, for some, or only tried beside: without it all three read alike. */
function effectOf(before: PolicyRule | undefined, after: PolicyRule | undefined): string {
  if (after === undefined) return "removed";
  const { policy, candidate, rollout } = after;
  const effects: string[] = [];
  if (before === undefined || !isSame(before.policy, policy)) effects.push(limitText(policy));
  if (!isSame(before?.rollout, rollout)) effects.push(`for ${rollout?.percent ?? 100} % of keys`);
  if (!isSame(before?.candidate, candidate)) {
    const beside = candidate && `${limitText(candidate.policy)} beside, not enforced`;
    effects.push(beside ?? "nothing beside any more");
  }
  return effects.join(", ");
}

function isSame(a: unknown, b: unknown): boolean {
  const [was, is] = [leavesOf(a), leavesOf(b)];
  return was.size === is.size && [...was].every(([path, text]) => is.get(path) === text);
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
