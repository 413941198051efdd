/** Which rows of a long table are shown, and in which order. */
import type { RuleState } from "../../../packages/cli/src/dashboard/wire.js";

/** Rows that a table shows at first, and how many more at each request: thousands would stall the page. */
export const ROWS_AT_FIRST = 50;

export const RULE_ORDERS = {
  denied: "most denied",
  share: "denied share",
  asked: "most asked",
  near: "most near",
  name: "name",
} as const;
export type RuleOrder = keyof typeof RULE_ORDERS;

const shareOf = ({ perSecond: { asked, denied } }: RuleState): number =>
  asked > 0 ? denied / asked : 0;

const MEASURE: Readonly<Record<Exclude<RuleOrder, "name">, (rule: RuleState) => number>> = {
  denied: ({ perSecond }) => perSecond.denied,
  share: shareOf,
  asked: ({ perSecond }) => perSecond.asked,
  near: ({ perSecond }) => perSecond.near,
};

const byName = (a: RuleState, b: RuleState): number =>
  a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : 0;

/** Rules whose name, limit or mode has the text, in an order; those that are equal by name. */
export function orderRules(
  rules: readonly RuleState[],
  order: RuleOrder,
  text: string,
): readonly RuleState[] {
  const wanted = text.trim().toLowerCase();
  const found =
    wanted === ""
      ? [...rules]
      : rules.filter(({ rule, limit, mode }) =>
          `${rule}\n${limit}\n${mode}`.toLowerCase().includes(wanted),
        );
  if (order === "name") return found.sort(byName);
  const measure = MEASURE[order];
  return found.sort((a, b) => measure(b) - measure(a) || byName(a, b));
}

/** The order that was, as far as its rows are still there, then the others: rows do not move under a pointer or a focus. */
export function keepOrder<Row>(
  rows: readonly Row[],
  former: readonly string[],
  keyOf: (row: Row) => string,
): readonly Row[] {
  const places = new Map(former.map((key, place) => [key, place]));
  const placeOf = (row: Row): number => places.get(keyOf(row)) ?? former.length;
  return [...rows].sort((a, b) => placeOf(a) - placeOf(b));
}
