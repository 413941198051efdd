/** What was changed, by whom and why; what is different, and the way back. */
import { signal } from "@preact/signals";
import type { Change, Diff } from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { moment } from "../data/format.js";
import { held } from "../data/held.js";
import { mayWrite, nowMs, state } from "../data/model.js";
import { CommentField, commentTyped } from "../parts/comment.js";
import { askFirst } from "../parts/dialog.js";
import { Panel } from "../parts/panel.js";
import { Problem } from "../parts/problem.js";

const AT_FIRST = 10;
const isAll = signal(false);
const opened = signal<string | undefined>(undefined);
const diff = held<readonly string[]>();

export const diffLines = async (between: Diff): Promise<readonly string[]> =>
  (await post<{ lines: readonly string[] }>("diff", between)).lines;

const signOf = (line: string): string =>
  /^[+-]/.test(line) ? (line[0] === "+" ? "plus" : "minus") : "";

export function Lines({ lines }: { readonly lines: readonly string[] }) {
  if (lines.length === 0) return <p class="empty">Nothing is different.</p>;
  return (
    <pre class="diff" tabIndex={0} role="region" aria-label="What is different">
      {lines.map((line, index) => (
        <span key={`${index} ${line}`} class={signOf(line)}>
          {`${line}\n`}
        </span>
      ))}
    </pre>
  );
}

async function open({ id, version }: Change): Promise<void> {
  diff.value.value = undefined;
  diff.problem.value = undefined;
  opened.value = opened.value === id ? undefined : id;
  if (opened.value !== undefined) await diff.load(diffLines({ to: version }));
}

async function rollBack({ version }: Change): Promise<void> {
  const base = state.value?.policies.version;
  if (version === undefined || base === undefined) return;
  const lines = held<readonly string[]>();
  askFirst({
    title: `Go back to version ${version}`,
    action: "Roll back",
    isGrave: true,
    Body: () => (
      <>
        <p>
          Now version {base} is in force. The limits of version {version} are published again, as a
          new version.
        </p>
        <Problem problem={lines.problem.value} />
        {lines.value.value !== undefined && <Lines lines={lines.value.value} />}
        <CommentField />
      </>
    ),
    run: () => post("rollback", { to: version, base, ...commentTyped() }),
    done: `Rolled back to version ${version}.`,
  });
  await lines.load(diffLines({ from: base, to: version }));
}

/** Of a version what it changed, as far as that is known; what was done to a key or the switch says it itself. */
function didText({ version, text }: Change): string {
  if (version === undefined) return text;
  return `published version ${version}${text === "" ? "" : `: ${text}`}`;
}

function Row({ change }: { readonly change: Change }) {
  const { id, atMs, who, version, text } = change;
  const isOpen = opened.value === id;
  const name = <span class="sr"> {version === undefined ? text : `version ${version}`}</span>;
  return (
    <li>
      <p>
        <time>{moment(atMs, nowMs())}</time> <b>{who ?? "somebody"}</b> <bdi>{didText(change)}</bdi>
        {change.comment !== undefined && <q>{change.comment}</q>}
      </p>
      <div class="actions">
        {version !== undefined && (
          <button type="button" aria-expanded={isOpen} onClick={() => void open(change)}>
            Diff{name}
          </button>
        )}
        {change.canRollBack && mayWrite.value && (
          <button type="button" onClick={() => void rollBack(change)}>
            Go back to it…{name}
          </button>
        )}
      </div>
      {isOpen && (
        <>
          <Problem problem={diff.problem.value} />
          {diff.value.value !== undefined && <Lines lines={diff.value.value} />}
        </>
      )}
    </li>
  );
}

export function Changes() {
  const changes = state.value?.changes ?? [];
  const scheduled = state.value?.policies.scheduled ?? [];
  const shown = isAll.value ? changes : changes.slice(0, AT_FIRST);
  return (
    <Panel id="changes" title="Changes" note="the newest first">
      {scheduled.map(({ version, atMs }) => (
        <p key={version} class="note">
          Version {version} comes into force at {moment(atMs, nowMs())}.
        </p>
      ))}
      {changes.length === 0 && <p class="empty">Nothing was changed.</p>}
      <ol class="changes">
        {shown.map((change) => (
          <Row key={change.id} change={change} />
        ))}
      </ol>
      {changes.length > AT_FIRST && (
        <button
          type="button"
          aria-pressed={isAll.value}
          onClick={() => {
            isAll.value = !isAll.value;
          }}
        >
          Show all {changes.length}
        </button>
      )}
    </Panel>
  );
}
