/** The glance: what is asked, and what becomes of it. */
import { signal, useSignalEffect } from "@preact/signals";
import type { Counts } from "../../../packages/cli/src/dashboard/wire.js";
import { count, duration, rate, share } from "../data/format.js";
import { said, seconds } from "../data/model.js";
import { coveredMs, meanOf, sumOf } from "../data/series.js";

const WINDOW_MS = 10_000;
/** How often a screen reader is told, at most. */
const SAID_EACH_MS = 30_000;

const TILES: readonly (readonly [name: keyof Counts, label: string, what: string])[] = [
  ["asked", "Asked", ""],
  ["allowed", "Allowed", "of asked"],
  ["denied", "Denied", "of asked"],
  ["near", "Near", "allowed, ≤ 10 % left"],
  ["shadowDenied", "Shadow", "would be denied"],
  ["withoutStore", "Without the store", "decided without it"],
];

/** The times at which it was said, and at what time. */
let saidAtMs = Number.NEGATIVE_INFINITY;
const spoken = signal("");

function summary(): string {
  const { perSecond } = meanOf(seconds.peek(), WINDOW_MS);
  const { asked, allowed, denied, withoutStore } = perSecond;
  const without = withoutStore > 0 ? ` ${rate(withoutStore)} decided without the store.` : "";
  return `A second: ${rate(asked)} asked, ${rate(allowed)} allowed, ${rate(denied)} denied, ${share(denied, asked)}.${without}`;
}

function Spoken() {
  useSignalEffect(() => {
    if (seconds.value.length === 0 || performance.now() - saidAtMs < SAID_EACH_MS) return;
    saidAtMs = performance.now();
    spoken.value = summary();
  });
  return (
    <>
      <p class="sr" role="status">
        {spoken}
      </p>
      <p class="sr" role="status">
        {said}
      </p>
    </>
  );
}

export function Totals() {
  const { perSecond, spanMs } = meanOf(seconds.value, WINDOW_MS);
  const all = sumOf(seconds.value);
  const window = spanMs === 0 ? "no second yet" : `last ${duration(spanMs)}`;
  const covered = coveredMs(seconds.value);
  return (
    <section aria-labelledby="totals-title">
      <h2 id="totals-title" class="sr" tabIndex={-1}>
        All rules
      </h2>
      <dl class="totals">
        {TILES.map(([name, label, what]) => (
          <div key={name} class={`${name}${perSecond[name] > 0 ? " some" : ""}`}>
            <dt>{label}</dt>
            <dd>
              <b>{rate(perSecond[name])}</b>/s
              <small>
                {what === "of asked" && `${share(perSecond[name], perSecond.asked)} `}
                {what !== "" && `${what}, `}
                {window}
              </small>
              {covered > 0 && (
                <small>
                  {count(all[name])} in {duration(covered)}
                </small>
              )}
            </dd>
          </div>
        ))}
      </dl>
      <Spoken />
    </section>
  );
}
