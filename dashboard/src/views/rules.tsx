/** The rules: what each limits, and how much of it is denied. */
import { signal } from "@preact/signals";
import type { RuleState } from "../../../packages/cli/src/dashboard/wire.js";
import { count, counted, rate, share } from "../data/format.js";
import { state } from "../data/model.js";
import { orderRules, RULE_ORDERS, type RuleOrder, ROWS_AT_FIRST } from "../data/rows.js";
import { Choice, Field } from "../parts/fields.js";
import { useHeldOrder } from "../parts/held-order.js";
import { Panel, Scroller } from "../parts/panel.js";
import { lookUpIn } from "./looked-up.js";

const filter = signal("");
const order = signal<RuleOrder>("denied");
const rows = signal(ROWS_AT_FIRST);

const COLUMNS: readonly (readonly [label: string, isNumber: boolean])[] = [
  ["Rule", false],
  ["Limit", false],
  ["Mode", false],
  ["Asked/s", true],
  ["Denied/s", true],
  ["Denied", true],
  ["Near/s", true],
  ["Candidate beside", false],
  ["Keys limited", true],
];

const limitedText = ({ count: keys, isAtLeast }: RuleState["limitedKeys"]): string =>
  `${isAtLeast ? "≥ " : ""}${count(keys)}`;

function RuleRow({ rule }: { readonly rule: RuleState }) {
  const { perSecond, candidate } = rule;
  const deniedShare = perSecond.asked === 0 ? 0 : perSecond.denied / perSecond.asked;
  return (
    <tr>
      <th scope="row">
        <button type="button" class="link" onClick={() => lookUpIn(rule.rule)}>
          {rule.rule}
          <span class="sr">: look up a key</span>
        </button>
      </th>
      <td class="limit">{rule.limit}</td>
      <td>
        <span class={`mode ${rule.mode}`}>{rule.mode}</span>
        {rule.percent < 100 && ` ${rule.percent} % of keys`}
      </td>
      <td class="number">{rate(perSecond.asked)}</td>
      <td class="number">{rate(perSecond.denied)}</td>
      <td class="number share">
        {share(perSecond.denied, perSecond.asked)}
        <span class="gauge" aria-hidden="true">
          <span style={{ width: `${deniedShare * 100}%` }} />
        </span>
      </td>
      <td class="number">{rate(perSecond.near)}</td>
      <td>
        {candidate === undefined
          ? "–"
          : `${candidate.limit}: would deny ${rate(candidate.deniedPerSecond)}/s`}
      </td>
      <td class="number">{limitedText(rule.limitedKeys)}</td>
    </tr>
  );
}

function More({ shown, all }: { readonly shown: number; readonly all: number }) {
  if (shown >= all) return null;
  return (
    <p class="note">
      {count(shown)} of {counted(all, "rule")}.{" "}
      <button
        type="button"
        onClick={() => {
          rows.value += ROWS_AT_FIRST;
        }}
      >
        Show {ROWS_AT_FIRST} more
      </button>
    </p>
  );
}

export function Rules() {
  const rules = state.value?.rules ?? [];
  const total = state.value?.rulesTotal ?? 0;
  const found = orderRules(rules, order.value, filter.value);
  const { element, ordered } = useHeldOrder(found, ({ rule }) => rule, order.value + filter.value);
  const shown = ordered.slice(0, rows.value);
  return (
    <Panel
      id="rules"
      title="Rules"
      note="a second, mean of the last minute; keys denied in this minute or the one before"
    >
      {rules.length === 0 ? (
        <p class="empty">There is no rule yet. Add one under “Try a change”.</p>
      ) : (
        <>
          <div class="fields">
            <Field label="Filter" type="search" placeholder="name, limit or mode" value={filter} />
            <Choice label="Order" options={RULE_ORDERS} value={order} />
          </div>
          <Scroller label="Rules">
            <table>
              <thead>
                <tr>
                  {COLUMNS.map(([label, isNumber]) => (
                    <th key={label} scope="col" class={isNumber ? "number" : ""}>
                      {label}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody ref={element}>
                {shown.map((rule) => (
                  <RuleRow key={rule.rule} rule={rule} />
                ))}
              </tbody>
            </table>
          </Scroller>
          {found.length === 0 && <p class="empty">No rule has “{filter}” in it.</p>}
          <More shown={shown.length} all={found.length} />
          {total > rules.length && (
            <p class="note">
              These are the {count(rules.length)} that are asked most, of {count(total)}; look up a
              key of any other.
            </p>
          )}
        </>
      )}
    </Panel>
  );
}
