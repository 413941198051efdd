/** Asks before something is changed: one dialog, for whatever is to be confirmed. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Held, held } from "../data/held.js";
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

/** Each question has its own outcome: one that was left comes to nothing in the next. */
interface Asking {
  readonly question: Question;
  readonly outcome: Held<unknown>;
}

const asking = signal<Asking | undefined>(undefined);
let opener: Element | null = null;
let openersPart: HTMLElement | null = null;

const noField = (): undefined => undefined;

export function askFirst(question: Question): void {
  opener = document.activeElement;
  openersPart = opener?.closest("section")?.querySelector("h2") ?? null;
  giveToFields(undefined, noField);
  forgetComment();
  said.value = "";
  asking.value = { question, outcome: held() };
}

/**
 * The browser tells it some moments after the dialog was closed: by then there may be another question, which stays. The
 * browser gives the focus back to what opened the dialog; if that is gone now, its part's heading takes it.
 */
function closed(shown: Asking | undefined): void {
  if (asking.value !== shown) return;
  asking.value = undefined;
  requestAnimationFrame(() => {
    if (opener?.isConnected !== true || document.activeElement === document.body) {
      openersPart?.focus();
    }
  });
}

async function submit(event: Event & { readonly currentTarget: Element }): Promise<void> {
  event.preventDefault();
  const now = asking.value;
  const dialog = event.currentTarget.closest("dialog");
  if (now === undefined || now.outcome.isBusy.value) return;
  const { question, outcome } = now;
  const isDone = await outcome.load(question.run());
  const isShown = asking.value === now;
  if (isDone) {
    if (isShown) dialog?.close();
    said.value = question.done;
    await poll();
  } else if (isShown) {
    outcome.problem.value = giveToFields(outcome.problem.value, question.fieldOf ?? noField);
    requestAnimationFrame(() => dialog?.querySelector<HTMLElement>("[aria-invalid]")?.focus());
  }
}

export function Dialog() {
  const element = useRef<HTMLDialogElement>(null);
  const shown = useRef<Asking | undefined>(undefined);
  const now = asking.value;
  // Before the next key: a Tab that comes sooner would take the focus from what the dialog was opened with.
  useLayoutEffect(() => {
    if (now === undefined || element.current?.open !== false) return;
    shown.current = now;
    element.current.showModal();
  }, [now]);
  const onClose = (): void => {
    if (element.current?.open === false) closed(shown.current);
  };
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onClose={onClose}>
      {now !== undefined && (
        <form key={now.question.title} onSubmit={(event) => void submit(event)}>
          <h2 id="dialog-title">{now.question.title}</h2>
          <now.question.Body />
          <Problem problem={now.outcome.problem.value} />
          <div class="actions">
            <button type="button" onClick={() => element.current?.close()}>
              Cancel
            </button>
            <button
              type="submit"
              class={now.question.isGrave === true ? "grave" : "main"}
              aria-busy={now.outcome.isBusy.value}
            >
              {now.question.action}
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
