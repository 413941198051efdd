/** Block, unblock, reset or override one key of one rule: the dialog that asks before. */
import { signal } from "@preact/signals";
import type {
  KeyChange,
  LookedUp,
  OverrideField,
} from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { state } from "../data/model.js";
import { CommentField, commentTyped } from "../parts/comment.js";
import { askFirst, BeforeAfter } from "../parts/dialog.js";
import { Field, Radios } from "../parts/fields.js";
import { answer, answeredOf } from "./looked-up.js";

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

const FIELDS_OF_MOST: readonly OverrideField[] = [{ name: "limit" }, { name: "period" }];

/** The rule's length of time, and what may be used at once, as its algorithm calls them. */
function fieldsOf(rule: string): { readonly span?: OverrideField; readonly room?: OverrideField } {
  const known = state.value?.rules.find((each) => each.rule === rule)?.fields ?? FIELDS_OF_MOST;
  const among = (...names: readonly string[]): OverrideField | undefined =>
    known.find(({ name }) => names.includes(name));
  const [spanField, roomField] = [among("period", "window"), among("burst", "capacity")];
  return {
    ...(spanField !== undefined && { span: spanField }),
    ...(roomField !== undefined && { room: roomField }),
  };
}

/** What is left empty stays as the rule has it: an override replaces option by option. */
function spanText({ name, own }: OverrideField): string {
  const length = span.value.trim() || own;
  if (length === undefined) return ` in the rule's ${name}`;
  return ` ${name === "window" ? "in" : "per"} ${length}`;
}

function roomText({ name, own, otherwise }: OverrideField): string {
  if (room.value !== "") return `, ${name} ${room.value}`;
  if (own !== undefined) return `, ${name} ${own} as in the rule`;
  return otherwise === undefined ? "" : `, ${name} ${otherwise}`;
}

const overrideText = (rule: string): string => {
  const ends = until.value === "" ? "for ever" : `until ${until.value.replace("T", " ")}`;
  if (kind.value !== "limit") return `${KINDS[kind.value]}, ${ends}`;
  const names = fieldsOf(rule);
  const every = names.span === undefined ? "" : spanText(names.span);
  const atOnce = names.room === undefined ? "" : roomText(names.room);
  return `a limit of ${limit.value === "" ? "…" : limit.value}${every}${atOnce}, ${ends}`;
};

const AFTER: Readonly<Record<KeyChange["change"], (rule: string) => string>> = {
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
    ...(names.span !== undefined && every !== "" && { [names.span.name]: every }),
    ...(names.room !== undefined && room.value !== "" && { [names.room.name]: Number(room.value) }),
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
  const { span: spanField, room: roomField } = fieldsOf(rule);
  const units = { type: "number", min: "0", step: "any" } as const;
  const title = (name: string): string => name.slice(0, 1).toUpperCase() + name.slice(1);
  return (
    <div class="fields">
      <Field label="Limit" hint="units" name="limit" {...units} required value={limit} />
      {spanField !== undefined && (
        <Field
          label={title(spanField.name)}
          hint="as 1m; empty: the rule's"
          name={spanField.name}
          value={span}
        />
      )}
      {roomField !== undefined && (
        <Field
          label={title(roomField.name)}
          hint="units at once; empty: the rule's"
          name={roomField.name}
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
      <Field
        label="Until"
        hint="empty: for ever"
        name="until"
        type="datetime-local"
        value={until}
      />
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
        {change === "block" && (
          <Field label="For" hint="as 90s, 15m, 2h" name="for" required value={lasts} />
        )}
        {change === "override" && <OverrideFields rule={target.rule} />}
        <CommentField />
        <BeforeAfter before={target.before} after={AFTER[change](target.rule)} />
      </>
    ),
    fieldOf: (path) =>
      /^(?:overrides\[\d+\]\.)?(?:policy\.)?(for|until|limit|period|window|burst|capacity)$/.exec(
        path,
      )?.[1],
    run: async () => {
      const { rule, entries, id } = target;
      const looked = await post<LookedUp>("key", changeOf(target, change));
      answer.value.value = answeredOf(looked, { rule, entries, id });
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
