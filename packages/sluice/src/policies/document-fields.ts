/** What a document may hold, field by field. `policies.schema.json` says the same to editors; a test holds them together. */
import { toThousandths } from "../core/amount.js";
import { isName } from "../core/key.js";
import { InWords } from "../core/shown.js";
import { parsePolicy } from "../algorithms/registry.js";
import {
  byName,
  type Check,
  checkedBy,
  choice,
  fields,
  inQuotes,
  list,
  number,
  refuseOthers,
  scalar,
  shownOf,
  text,
} from "./checks.js";
import type {
  CostFrom,
  EntryCondition,
  EntryTexts,
  PoliciesDocument,
  PoliciesMode,
  PolicyChange,
  PolicyOverride,
  PolicyRule,
  PolicyWithoutName,
} from "./document.js";
import { cutPattern, MOST_STARS } from "./pattern.js";
import type { Problems } from "./problems.js";
import { type SourceNode, valueOf } from "./source-node.js";

/** Half of the 1,024 policies that a limiter can have, since each rule may have a candidate. */
const MOST_RULES = 512;
const MOST_OVERRIDES = 10_000;
const MOST_PLANS = 64;
const MOST_ENTRIES = 16;
const MOST_TEXTS = 128;
const MOST_KEY_ENTRIES = 8;
const LONGEST_TEXT = 512;
const LONGEST_COMMENT = 1024;
/** With `.candidate` behind it, it is still a policy's name. */
const LONGEST_RULE_NAME = 54;
const CANDIDATE_SUFFIX = ".candidate";

const mode = choice<PoliciesMode>("enforce", "shadow", "off");
const comment = text(0, LONGEST_COMMENT);
const flag = scalar((value): value is boolean => typeof value === "boolean", "true or false");
const entryName = text(1, LONGEST_TEXT);

const ruleName = scalar(
  (value): value is string =>
    isName(value) && value.length <= LONGEST_RULE_NAME && !value.endsWith(CANDIDATE_SUFFIX),
  `1 to ${LONGEST_RULE_NAME} characters of A-Z a-z 0-9 . _ -, and not ${CANDIDATE_SUFFIX} at the end`,
  inQuotes,
);

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/;

/** A point in time, in UTC afterwards. */
const time: Check<string> = (node, path, problems) => {
  const value = node.kind === "scalar" ? node.value : undefined;
  const ms = typeof value === "string" && TIME.test(value) ? Date.parse(value) : Number.NaN;
  // 31 February is read as 3 March by some.
  if (!Number.isNaN(ms) && isOfCalendar(value as string)) {
    const inUtc = new Date(ms).toISOString().replace(".000Z", "Z");
    // An offset may lead out of the years that can be written.
    if (TIME.test(inUtc)) return inUtc;
  }
  const isDate = typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value);
  const hint = isDate ? `did you mean "${value}T00:00:00Z"?` : undefined;
  problems.refuse(node, path, shownOf(node), 'a time such as "2026-12-31T00:00:00Z"', hint);
  return undefined;
};

function isOfCalendar(value: string): boolean {
  const [year, month, day] = value.slice(0, 10).split("-").map(Number) as [number, number, number];
  return day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

const pattern: Check<string> = (node, path, problems) => {
  const checked = text(0, LONGEST_TEXT)(node, path, problems);
  if (checked === undefined) return undefined;
  const parts = cutPattern(checked);
  if (parts !== undefined && parts.length - 1 <= MOST_STARS) return checked;
  const allowed = `a text with at most ${MOST_STARS} of *, and a backslash only before * or another`;
  problems.refuse(node, path, checked, allowed);
  return undefined;
};

const patterns = list(pattern, "texts", MOST_TEXTS, 1);

const texts: Check<EntryTexts> = (node, path, problems) =>
  node.kind === "scalar" ? pattern(node, path, problems) : patterns(node, path, problems);

const isAndNot = fields<EntryCondition>({ is: { check: texts }, not: { check: texts } });

const condition: Check<EntryTexts | EntryCondition> = (node, path, problems) => {
  if (node.kind !== "map") return texts(node, path, problems);
  const checked = isAndNot(node, path, problems);
  if (checked !== undefined && Object.keys(checked).length === 0) {
    problems.refuse(node, path, new InWords("neither"), "is, not, or both");
  }
  return checked;
};

const units: Check<number> = (node, path, problems) => {
  const value = shownOf(node);
  const before = problems.count;
  checkedBy(node, problems, path, () => toThousandths(path, value));
  return problems.count > before ? undefined : (value as number);
};

const costFrom = fields<CostFrom>({
  from: { check: entryName, isRequired: true },
  default: { check: units },
});

const cost: Check<number | CostFrom> = (node, path, problems) =>
  node.kind === "scalar" ? units(node, path, problems) : costFrom(node, path, problems);

/** Options that a document says elsewhere. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["name", "nothing here: a policy has its rule's name"],
  ["enforce", "nothing here: the rule's mode says it"],
]);

/** Options as they are written, without what the document says elsewhere. */
function optionsOf(node: SourceNode, path: string, problems: Problems): object | undefined {
  if (node.kind !== "map") {
    problems.refuse(node, path, shownOf(node), "an object with the options of a policy");
    return undefined;
  }
  for (const [name, allowed] of ELSEWHERE) {
    const entry = node.entries.get(name);
    // What tokenBucket() and its like return has the algorithm's name, unless another was given.
    if (entry === undefined || (name === "name" && isAlgorithmsOwn(entry, node))) continue;
    problems.refuse(entry, `${path}.${name}`, shownOf(entry), allowed);
    return undefined;
  }
  const { name: _, ...options } = valueOf(node) as Readonly<Record<string, unknown>>;
  return Object.freeze(options);
}

function isAlgorithmsOwn(entry: SourceNode, { entries }: SourceNode & { kind: "map" }): boolean {
  const algorithm = entries.get("algorithm");
  return entry.kind === "scalar" && algorithm?.kind === "scalar" && entry.value === algorithm.value;
}

const policy: Check<PolicyWithoutName> = (node, path, problems) => {
  const options = optionsOf(node, path, problems);
  if (options === undefined) return undefined;
  const before = problems.count;
  checkedBy(node, problems, path, () => parsePolicy(options, path));
  return problems.count > before ? undefined : (options as PolicyWithoutName);
};

/** The options of all algorithms. */
const OPTIONS = [
  "algorithm",
  "limit",
  "period",
  "burst",
  "refill",
  "capacity",
  "window",
  "align",
  "unit",
  "timeZone",
  "weekStartsOn",
];

/** What it makes of a policy is checked when the rules are known. */
const change: Check<PolicyChange> = (node, path, problems) => {
  const options = optionsOf(node, path, problems);
  if (options === undefined || node.kind !== "map") return undefined;
  const before = problems.count;
  refuseOthers(node, path, OPTIONS, problems);
  return problems.count > before ? undefined : options;
};

const rule = fields<PolicyRule>({
  name: { check: ruleName, isRequired: true },
  comment: { check: comment },
  match: { check: byName(() => condition, "entries", MOST_ENTRIES) },
  key: { check: list(entryName, "names of entries", MOST_KEY_ENTRIES) },
  exact: { check: flag },
  onMissing: { check: choice("skip", "deny") },
  policy: { check: policy, isRequired: true },
  cost: { check: cost },
  mode: { check: mode },
  rollout: {
    check: fields<{ readonly percent: number }>({
      percent: { check: number(0, 100), isRequired: true },
    }),
  },
  candidate: {
    check: fields<{ readonly policy: PolicyWithoutName }>({
      policy: { check: policy, isRequired: true },
    }),
  },
  allowOverride: { check: flag },
});

const override = fields<PolicyOverride>({
  rule: { check: ruleName, isRequired: true },
  key: { check: text(1, LONGEST_TEXT), isRequired: true },
  policy: { check: change },
  mode: { check: choice("deny", "exempt") },
  until: { check: time },
  comment: { check: comment },
  by: { check: text(0, LONGEST_COMMENT) },
});

/** Checks the form of a document. What its parts say of each other is checked in references.ts. */
export const checkDocument = fields<PoliciesDocument>({
  $schema: { check: text(0, LONGEST_COMMENT) },
  version: { check: number(1, Number.MAX_SAFE_INTEGER, true) },
  activeFrom: { check: time },
  mode: { check: mode },
  defaults: {
    check: fields<NonNullable<PoliciesDocument["defaults"]>>({
      onStoreFailure: { check: choice("local", "open", "closed", "throw") },
    }),
  },
  plans: {
    check: byName(() => byName(() => change, "changes to rules", MOST_RULES), "plans", MOST_PLANS),
  },
  rules: { check: list(rule, "rules", MOST_RULES), isRequired: true },
  overrides: { check: list(override, "overrides", MOST_OVERRIDES) },
});
