/** A part of the page with a heading, which a link of the navigation leads to. */
import type { ComponentChildren } from "preact";

export function Panel({
  id,
  title,
  note,
  children,
}: {
  readonly id: string;
  readonly title: string;
  /** Of what the numbers are: their unit and window. */
  readonly note?: string | undefined;
  readonly children: ComponentChildren;
}) {
  return (
    <section id={id} aria-labelledby={`${id}-title`}>
      <div class="head">
        <h2 id={`${id}-title`} tabIndex={-1}>
          {title}
        </h2>
        {note !== undefined && <p class="note">{note}</p>}
      </div>
      {children}
    </section>
  );
}

/** A table that scrolls sideways on a narrow page, by keyboard too. */
export function Scroller({
  label,
  children,
}: {
  readonly label: string;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="scroller" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}
