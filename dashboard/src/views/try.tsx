/** Edit the document, see what it would have done to the last minutes, and publish it: beside, for some keys, or at once. */
import { signal } from "@preact/signals";
import type {
  DocumentText,
  Publish,
  Tried,
  Try,
} from "../../../packages/cli/src/dashboard/wire.js";
import { get, post } from "../data/api.js";
import { clock, count, counted } from "../data/format.js";
import { held } from "../data/held.js";
import { mayWrite, said, state } from "../data/model.js";
import { CommentField, commentTyped } from "../parts/comment.js";
import { askFirst } from "../parts/dialog.js";
import { Field, Radios } from "../parts/fields.js";
import { Panel, Scroller } from "../parts/panel.js";
import { Problem } from "../parts/problem.js";
import { diffLines, Lines } from "./changes.js";

type How = "candidate" | "percent" | "now";
const HOWS: Readonly<Record<How, string>> = {
  candidate: "Beside: decided and counted, not enforced",
  percent: "For a share of the keys",
  now: "At once, for all keys",
};

const loaded = held<DocumentText>();
const tried = held<Tried>();
const text = signal("");
const minutes = signal("5");
const how = signal<How>("candidate");
const percent = signal("10");

async function load(): Promise<void> {
  if (!(await loaded.load(get<DocumentText>("document")))) return;
  text.value = loaded.value.value?.text ?? "";
  tried.value.value = undefined;
  tried.problem.value = undefined;
  requestAnimationFrame(() => document.querySelector<HTMLElement>("#try textarea")?.focus());
}

function goToLine(line: number): void {
  const area = document.querySelector<HTMLTextAreaElement>("#try textarea");
  if (area === null) return;
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
}

async function simulate(): Promise<void> {
  said.value = "";
  const isDone = await tried.load(
    post<Tried>("try", { text: text.value, minutes: Number(minutes.value) } satisfies Try),
  );
  const result = tried.value.value;
  if (!isDone || result === undefined) return;
  said.value = `${counted(result.attempts, "attempt")} simulated.`;
}

const howOf = (): Publish["how"] => (how.value === "percent" ? Number(percent.value) : how.value);

const ShareField = () => (
  <Field
    label="Share of keys"
    hint="%, 1 to 99"
    type="number"
    min="1"
    max="99"
    required
    value={percent}
  />
);

function publish(base: DocumentText["version"]): void {
  const edited = text.value;
  const lines = held<readonly string[]>();
  askFirst({
    title: "Publish the edited document",
    action: "Publish",
    isGrave: true,
    Body: () => (
      <>
        <Problem problem={lines.problem.value} />
        {lines.value.value !== undefined && <Lines lines={lines.value.value} />}
        <Radios
          legend="How"
          name="how"
          options={HOWS}
          value={how}
          fields={{ percent: <ShareField /> }}
        />
        <CommentField />
      </>
    ),
    run: async () => {
      const { version } = await post<{ version: number | string }>("publish", {
        text: edited,
        base,
        how: howOf(),
        ...commentTyped(),
      } satisfies Publish);
      await load();
      said.value = `Published as version ${version}.`;
    },
    done: "Published.",
  });
  void lines.load(diffLines({ text: edited }));
}

const COLUMNS: readonly (readonly [label: string, of: keyof Tried["rules"][number]])[] = [
  ["Asked", "asked"],
  ["Denied then", "deniedBefore"],
  ["Denied by the edit", "deniedAfter"],
  ["Newly denied", "newlyDenied"],
  ["Newly allowed", "newlyAllowed"],
  ["Keys denied", "keysTouched"],
];

function Result({ result }: { readonly result: Tried }) {
  return (
    <>
      <p class="note">
        {counted(result.attempts, "attempt")} of this process from {clock(result.fromMs)} to{" "}
        {clock(result.toMs)}: as they were answered then, and by the edited document
      </p>
      {result.warnings.map((warning) => (
        <p key={warning} class="problem">
          {warning}
        </p>
      ))}
      <Scroller label="What would have changed">
        <table>
          <thead>
            <tr>
              <th scope="col">Rule</th>
              {COLUMNS.map(([label]) => (
                <th key={label} scope="col" class="number">
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {result.rules.map((rule) => (
              <tr key={rule.rule}>
                <th scope="row">{rule.rule}</th>
                {COLUMNS.map(([label, of]) => (
                  <td key={label} class={of === "newlyDenied" ? "number denied" : "number"}>
                    {count(Number(rule[of]))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroller>
      <ul class="notes">
        {result.notes.map((note) => (
          <li key={note} class="note">
            {note}
          </li>
        ))}
      </ul>
    </>
  );
}

function Editor({ base }: { readonly base: DocumentText["version"] }) {
  const isChanged = text.value !== loaded.value.value?.text;
  const current = state.value?.policies.version;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void simulate();
      }}
    >
      <label class="field">
        <span>Document, version {base}</span>
        <textarea
          spellcheck={false}
          rows={16}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
      </label>
      {current !== undefined && current !== base && (
        <p class="problem">
          Version {current} is in force meanwhile: publishing this edit will be refused. Load it
          again.
        </p>
      )}
      <div class="fields">
        <Field
          label="Play the last"
          hint="minutes"
          type="number"
          min="1"
          max="15"
          required
          value={minutes}
        />
        <button type="submit" class="main" aria-busy={tried.isBusy.value}>
          Simulate
        </button>
        {mayWrite.value && (
          <button type="button" disabled={!isChanged} onClick={() => publish(base)}>
            Publish…
          </button>
        )}
        <button type="button" onClick={() => void load()}>
          Load again
        </button>
      </div>
      <Problem problem={tried.problem.value} goTo={goToLine} />
      {tried.value.value !== undefined && <Result result={tried.value.value} />}
    </form>
  );
}

function attemptsText(): string {
  const attempts = state.value?.attempts;
  if (attempts?.fromMs === undefined) return "no attempt is remembered yet";
  const part = attempts.isWhole ? "" : "a sample of them, ";
  return `${part}${counted(attempts.count, "attempt")} remembered since ${clock(attempts.fromMs)}`;
}

export function TryChange() {
  const document = loaded.value.value;
  return (
    <Panel id="try" title="Try a change" note={attemptsText()}>
      <Problem problem={loaded.problem.value} />
      {document === undefined ? (
        <button type="button" aria-busy={loaded.isBusy.value} onClick={() => void load()}>
          Edit the document
        </button>
      ) : (
        <Editor base={document.version} />
      )}
    </Panel>
  );
}
