/** Look up a key: which rules match, what it would get, and what can be done about it. */
import type { KeyChange, LookedUpRule, LookUp } from "../../../packages/cli/src/dashboard/wire.js";
import { printEntries } from "../data/entries.js";
import { clock, counted, duration, moment } from "../data/format.js";
import { mayWrite, nowMs, said, state } from "../data/model.js";
import { Field } from "../parts/fields.js";
import { Panel, Scroller } from "../parts/panel.js";
import { Problem } from "../parts/problem.js";
import { KeyButtons } from "./key-change.js";
import { answer, entriesText, lookUp, lookUpAgain, planText, ruleText } from "./looked-up.js";

/** As many as a person reads; the others do not match, or are found by naming the rule. */
const RULES_SHOWN = 50;
const SUGGESTED = 100;

async function submit(event: Event): Promise<void> {
  event.preventDefault();
  said.value = "";
  if (!(await lookUp())) return;
  const matching = answer.value.value?.rules.filter(({ matches }) => matches) ?? [];
  said.value = `${counted(matching.length, "rule")} ${matching.length === 1 ? "matches" : "match"}. ${matching.map(nowText).join(" ")}`;
}

function nowText({ rule, now }: LookedUpRule): string {
  if (now === undefined) return "";
  if (now.allowed) return `${rule}: would pass, ${leftText(now)}.`;
  return `${rule}: would be denied, ${leftText(now)}, ${nextText(now)}.`;
}

type Now = NonNullable<LookedUpRule["now"]>;

const leftText = ({ remaining, limit }: Now): string =>
  remaining === null || limit === null ? "without a limit" : `${remaining} of ${limit} left`;

const nextText = ({ retryAfterMs }: Now): string =>
  retryAfterMs === null ? "never allowed" : `next in ${duration(retryAfterMs)}`;

function overrideText({ override, isBlocked }: LookedUpRule): string {
  if (isBlocked) return "blocked: every request is denied";
  if (override === undefined) return "none";
  const { kind, limit, untilMs, comment } = override;
  const what =
    kind === "policy" ? (limit ?? "another limit") : kind === "deny" ? "denied" : "exempt";
  const ends = untilMs === undefined ? "for ever" : `until ${moment(untilMs, nowMs())}`;
  return `${what}, ${ends}${comment === undefined ? "" : `: ${comment}`}`;
}

function WouldGet({ rule }: { readonly rule: LookedUpRule }) {
  const { now } = rule;
  if (now === undefined) return null;
  return (
    <dl class="pairs">
      <dt>Would get now</dt>
      <dd class={now.allowed ? "well" : "bad"}>
        {now.allowed ? "allowed" : "denied"}
        {now.allowed ? "" : `, ${nextText(now)}`}
      </dd>
      <dt>Left</dt>
      <dd>
        {leftText(now)}
        {now.resetAfterMs !== null && `, whole again in ${duration(now.resetAfterMs)}`}
      </dd>
      <dt>Why</dt>
      <dd>
        {now.reason}, decided by {now.source}
      </dd>
      <dt>Override</dt>
      <dd>{overrideText(rule)}</dd>
    </dl>
  );
}

function Last({ rule }: { readonly rule: LookedUpRule }) {
  if (rule.last.length === 0) return <p class="note">No call of it was seen by this process.</p>;
  return (
    <details>
      <summary>
        Last {counted(rule.last.length, "call")} seen by this process
        <span class="sr"> of {rule.rule}</span>
      </summary>
      <ul class="last">
        {rule.last.map(({ atMs, allowed, reason }, index) => (
          <li key={`${atMs} ${index}`}>
            {clock(atMs)}{" "}
            <span class={allowed ? "well" : "bad"}>{allowed ? "allowed" : "denied"}</span> {reason}
          </li>
        ))}
      </ul>
    </details>
  );
}

function changesOf({ isBlocked, override }: LookedUpRule): readonly KeyChange["change"][] {
  return [
    isBlocked ? "unblock" : "block",
    "reset",
    "override",
    ...(override === undefined ? [] : (["clear-override"] as const)),
  ];
}

function Found({ rule, asked }: { readonly rule: LookedUpRule; readonly asked: LookUp }) {
  const { entries, id } = asked;
  const label = rule.label ?? id ?? printEntries(entries ?? {});
  return (
    <li class={rule.matches ? "found" : "found not"}>
      <h3>
        {rule.rule} <small>{rule.matches ? label : "does not match"}</small>
      </h3>
      <p class="note">{rule.text}</p>
      {rule.matches && (
        <>
          <WouldGet rule={rule} />
          {mayWrite.value && (
            <KeyButtons
              target={{
                rule: rule.rule,
                label,
                before:
                  rule.isBlocked || rule.override ? overrideText(rule) : "the rule's own limit",
                entries,
                id,
              }}
              changes={changesOf(rule)}
            />
          )}
          <Last rule={rule} />
        </>
      )}
    </li>
  );
}

function RuleNames() {
  const typed = ruleText.value.toLowerCase();
  const names = (state.value?.rules ?? []).map(({ rule }) => rule);
  return (
    <datalist id="rule-names">
      {names
        .filter((name) => name.toLowerCase().includes(typed))
        .slice(0, SUGGESTED)
        .map((name) => (
          <option key={name} value={name} />
        ))}
    </datalist>
  );
}

export function LookUpKey() {
  const { rules: found = [], asked = {}, atMs = 0 } = answer.value.value ?? {};
  const ordered = [...found].sort((a, b) => Number(b.matches) - Number(a.matches));
  return (
    <Panel id="lookup" title="Look up a key" note="asked of the store, and nothing is counted">
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <Field label="Entries" hint="name=value,…" placeholder="user=acme" value={entriesText} />
        <Field label="Rule" hint="empty: all" list="rule-names" value={ruleText} />
        <Field label="Plan" value={planText} />
        <RuleNames />
        <button type="submit" class="main" aria-busy={answer.isBusy.value}>
          Look up
        </button>
      </form>
      <Problem problem={answer.problem.value} />
      {answer.value.value !== undefined && found.length === 0 && (
        <p class="empty">No rule matches.</p>
      )}
      {ordered.length > 0 && (
        <p class="note">
          As it was at {moment(atMs, nowMs())}.{" "}
          <button type="button" onClick={() => void lookUpAgain()}>
            Refresh
          </button>
        </p>
      )}
      {ordered.length > 0 && (
        <Scroller label="What was found">
          <ul class="all-found">
            {ordered.slice(0, RULES_SHOWN).map((rule) => (
              <Found key={rule.rule} rule={rule} asked={asked} />
            ))}
          </ul>
        </Scroller>
      )}
      {ordered.length > RULES_SHOWN && (
        <p class="note">
          {counted(ordered.length - RULES_SHOWN, "more rule")}: name one to see it.
        </p>
      )}
    </Panel>
  );
}
