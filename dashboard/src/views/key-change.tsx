/** Block, unblock, reset or override one key of one rule: the dialog that asks before. */
import { signal } from "@preact/signals";
import type { KeyChange, LookedUp } from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { nowMs, state } from "../data/model.js";
import { CommentField, commentTyped } from "../parts/comment.js";
import { askFirst, BeforeAfter } from "../parts/dialog.js";
import { Field, Radios } from "../parts/fields.js";
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
const span = signal("");
const room = signal("");
const until = signal("");

/** What the rule's algorithm calls its length of time, and what may be used at once. */
function fieldsOf(rule: string): { readonly span?: string; readonly room?: string } {
  const known = state.value?.rules.find((each) => each.rule === rule)?.fields ?? [
    "limit",
    "period",
  ];
  const among = (...names: readonly string[]): string | undefined =>
    names.find((name) => known.includes(name));
  const [spanName, roomName] = [among("period", "window"), among("burst", "capacity")];
  return {
    ...(spanName !== undefined && { span: spanName }),
    ...(roomName !== undefined && { room: roomName }),
  };
}

const overrideText = (): string => {
  const ends = until.value === "" ? "for ever" : `until ${until.value.replace("T", " ")}`;
  if (kind.value !== "limit") return `${KINDS[kind.value]}, ${ends}`;
  const every = span.value === "" ? "" : ` per ${span.value}`;
  const atOnce = room.value === "" ? "" : `, ${room.value} at once`;
  return `a limit of ${limit.value === "" ? "…" : limit.value}${every}${atOnce}, ${ends}`;
};

const AFTER: Readonly<Record<KeyChange["change"], () => string>> = {
  block: () => `blocked: every request is denied for ${lasts.value}`,
  unblock: () => "not blocked: its limit counts again",
  reset: () => "its count starts again, with the whole limit free",
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

function overrideOf(rule: string): unknown {
  if (kind.value !== "limit") return kind.value;
  const names = fieldsOf(rule);
  const every = span.value.trim();
  return {
    limit: Number(limit.value),
    ...(names.span !== undefined && every !== "" && { [names.span]: every }),
    ...(names.room !== undefined && room.value !== "" && { [names.room]: Number(room.value) }),
  };
}

function changeOf({ rule, entries, id }: Target, change: KeyChange["change"]): KeyChange {
  return {
    rule,
    ...(entries === undefined ? { id } : { entries }),
    change,
    ...(change === "block" && { for: lasts.value.trim() }),
    ...(change === "override" && { override: overrideOf(rule) }),
    ...(change === "override" &&
      until.value !== "" && { untilMs: new Date(until.value).getTime() }),
    ...commentTyped(),
  };
}

function LimitFields({ rule }: { readonly rule: string }) {
  const names = fieldsOf(rule);
  const units = { type: "number", min: "0", step: "any" } as const;
  const title = (name: string): string => name.slice(0, 1).toUpperCase() + name.slice(1);
  return (
    <div class="fields">
      <Field label="Limit" hint="units" {...units} required value={limit} />
      {names.span !== undefined && (
        <Field label={title(names.span)} hint="as 1m; empty: the rule's" value={span} />
      )}
      {names.room !== undefined && (
        <Field
          label={title(names.room)}
          hint="units at once; empty: the rule's"
          {...units}
          value={room}
        />
      )}
    </div>
  );
}

function OverrideFields({ rule }: { readonly rule: string }) {
  return (
    <>
      <Radios
        legend="Instead of the rule's limit"
        name="kind"
        options={KINDS}
        value={kind}
        fields={{ limit: <LimitFields rule={rule} /> }}
      />
      <Field label="Until" hint="empty: for ever" type="datetime-local" value={until} />
    </>
  );
}

function changeKey(target: Target, change: KeyChange["change"]): void {
  for (const each of [limit, span, room, until]) each.value = "";
  kind.value = "limit";
  const [verb, done] = NAMES[change];
  askFirst({
    title: `${verb} ${target.label} of ${target.rule}`,
    action: verb,
    isGrave: change === "block",
    Body: () => (
      <>
        {change === "block" && <Field label="For" hint="as 90s, 15m, 2h" required value={lasts} />}
        {change === "override" && <OverrideFields rule={target.rule} />}
        <CommentField />
        <BeforeAfter before={target.before} after={AFTER[change]()} />
      </>
    ),
    run: async () => {
      answer.value.value = await post<LookedUp>("key", changeOf(target, change));
      answered.value = { entries: target.entries, id: target.id, atMs: nowMs() };
    },
    done,
  });
}

/** A button for each change, named with the key for visitors who do not see the row. */
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
