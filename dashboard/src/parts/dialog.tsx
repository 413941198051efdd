/** Asks before something is changed: one dialog, for whatever is to be confirmed. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { held } from "../data/held.js";
import { poll, said } from "../data/model.js";
import { forgetComment } from "./comment.js";
import { Problem } from "./problem.js";
import { giveToFields } from "./refused.js";

export interface Question {
  readonly title: string;
  /** What will change, and the fields that say how. */
  readonly Body: ComponentType;
  /** On the button that does it: a verb. */
  readonly action: string;
  readonly isGrave?: boolean;
  /** Which field a problem of this path is about; undefined for none. Default: none. */
  readonly fieldOf?: (path: string) => string | undefined;
  /** What is done; what it throws is shown, and the dialog stays. */
  readonly run: () => Promise<unknown>;
  /** What is said when it is done. */
  readonly done: string;
}

const question = signal<Question | undefined>(undefined);
const outcome = held<unknown>();
let opener: Element | null = null;
let openersPart: HTMLElement | null = null;

const noField = (): undefined => undefined;

export function askFirst(asked: Question): void {
  opener = document.activeElement;
  openersPart = opener?.closest("section")?.querySelector("h2") ?? null;
  outcome.problem.value = giveToFields(undefined, noField);
  forgetComment();
  question.value = asked;
}

/** The browser gives the focus back to what opened the dialog; if that is gone now, its part's heading takes it. */
function closed(): void {
  question.value = undefined;
  requestAnimationFrame(() => {
    if (opener?.isConnected !== true || document.activeElement === document.body) {
      openersPart?.focus();
    }
  });
}

async function submit(event: Event & { readonly currentTarget: Element }): Promise<void> {
  event.preventDefault();
  const asked = question.value;
  const dialog = event.currentTarget.closest("dialog");
  if (asked === undefined || outcome.isBusy.value) return;
  if (!(await outcome.load(asked.run()))) {
    outcome.problem.value = giveToFields(outcome.problem.value, asked.fieldOf ?? noField);
    requestAnimationFrame(() => dialog?.querySelector<HTMLElement>("[aria-invalid]")?.focus());
    return;
  }
  dialog?.close();
  said.value = asked.done;
  await poll();
}

export function Dialog() {
  const element = useRef<HTMLDialogElement>(null);
  const asked = question.value;
  // Before the next key: a Tab that comes sooner would take the focus from what the dialog was opened with.
  useLayoutEffect(() => {
    if (asked !== undefined && element.current?.open === false) element.current.showModal();
  }, [asked]);
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onClose={closed}>
      {asked !== undefined && (
        <form onSubmit={(event) => void submit(event)}>
          <h2 id="dialog-title">{asked.title}</h2>
          <asked.Body />
          <Problem problem={outcome.problem.value} />
          <div class="actions">
            <button type="button" onClick={() => element.current?.close()}>
              Cancel
            </button>
            <button
              type="submit"
              class={asked.isGrave === true ? "grave" : "main"}
              aria-busy={outcome.isBusy.value}
            >
              {asked.action}
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}

/** One thing as it is, and as it will be. */
export function BeforeAfter({
  before,
  after,
}: {
  readonly before: string;
  readonly after: string;
}) {
  return (
    <dl class="before-after">
      <dt>Now</dt>
      <dd>{before}</dd>
      <dt>Then</dt>
      <dd>{after}</dd>
    </dl>
  );
}
