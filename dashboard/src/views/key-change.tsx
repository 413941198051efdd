/** Block, unblock, reset or override one key of one rule: the dialog that asks before. */
import { signal } from "@preact/signals";
import type { KeyChange, LookedUp } from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { askFirst, BeforeAfter } from "../parts/dialog.js";
import { Choice, Field } from "../parts/fields.js";
import { answer, answered } from "./looked-up.js";

export interface Target extends Pick<KeyChange, "rule" | "entries" | "id"> {
  /** What people call it. */
  readonly label: string;
  /** What it gets now. */
  readonly before: string;
}

type Kind = "limit" | "exempt" | "deny";

const KINDS: Readonly<Record<Kind, string>> = {
  limit: "another limit",
  exempt: "exempt: the rule does not apply",
  deny: "deny every request",
};

const lasts = signal("15m");
const kind = signal<Kind>("limit");
const limit = signal("");
const period = signal("");
const until = signal("");
const comment = signal("");

const overrideText = (): string => {
  const ends = until.value === "" ? "for ever" : `until ${until.value.replace("T", " ")}`;
  if (kind.value !== "limit") return `${KINDS[kind.value]}, ${ends}`;
  const every = period.value === "" ? "" : ` each ${period.value}`;
  return `a limit of ${limit.value === "" ? "…" : limit.value}${every}, ${ends}`;
};

const AFTER: Readonly<Record<KeyChange["change"], () => string>> = {
  block: () => `blocked: every request is denied for ${lasts.value}`,
  unblock: () => "not blocked: its limit counts again",
  reset: () => "its count begins anew, with the whole limit free",
  override: overrideText,
  "clear-override": () => "no override: the rule's own limit",
};

const NAMES: Readonly<Record<KeyChange["change"], readonly [verb: string, done: string]>> = {
  block: ["Block", "Blocked."],
  unblock: ["Unblock", "Unblocked."],
  reset: ["Reset", "Reset."],
  override: ["Override", "Overridden."],
  "clear-override": ["Clear the override", "The override is cleared."],
};

function overrideOf(): unknown {
  if (kind.value !== "limit") return kind.value;
  const every = period.value.trim();
  return { limit: Number(limit.value), ...(every !== "" && { period: every }) };
}

function changeOf({ rule, entries, id }: Target, change: KeyChange["change"]): KeyChange {
  return {
    rule,
    ...(entries === undefined ? { id } : { entries }),
    change,
    ...(change === "block" && { for: lasts.value.trim() }),
    ...(change === "override" && { override: overrideOf() }),
    ...(change === "override" &&
      until.value !== "" && { untilMs: new Date(until.value).getTime() }),
    ...(comment.value.trim() !== "" && { comment: comment.value.trim() }),
  };
}

function OverrideFields() {
  return (
    <>
      <Choice label="Instead of the rule's limit" options={KINDS} value={kind} />
      {kind.value === "limit" && (
        <div class="fields">
          <Field
            label="Limit"
            hint="units"
            type="number"
            min="0"
            step="any"
            required
            value={limit}
          />
          <Field label="Period" hint="as 1m; empty: the rule's" value={period} />
        </div>
      )}
      <Field label="Until" hint="empty: for ever" type="datetime-local" value={until} />
    </>
  );
}

function changeKey(target: Target, change: KeyChange["change"]): void {
  comment.value = "";
  const [verb, done] = NAMES[change];
  askFirst({
    title: `${verb} ${target.label} of ${target.rule}`,
    action: verb,
    isGrave: change === "block",
    Body: () => (
      <>
        {change === "block" && <Field label="For" hint="as 90s, 15m, 2h" required value={lasts} />}
        {change === "override" && <OverrideFields />}
        <Field label="Comment" hint="why; kept with the change" value={comment} />
        <BeforeAfter before={target.before} after={AFTER[change]()} />
      </>
    ),
    run: async () => {
      answer.value.value = await post<LookedUp>("key", changeOf(target, change));
      answered.value = { entries: target.entries, id: target.id };
    },
    done,
  });
}

/** A button for each change, named with the key for whoever does not see the row. */
export function KeyButtons({
  target,
  changes,
}: {
  readonly target: Target;
  readonly changes: readonly KeyChange["change"][];
}) {
  return (
    <div class="actions">
      {changes.map((change) => (
        <button key={change} type="button" onClick={() => changeKey(target, change)}>
          {NAMES[change][0]}…<span class="sr"> {`${target.label} of ${target.rule}`}</span>
        </button>
      ))}
    </div>
  );
}
