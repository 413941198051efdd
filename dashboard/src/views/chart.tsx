/** The last minutes as lines, a quarter of an hour at most, with markers of changes and shades of outages, and the same as a table. */
import { computed, signal } from "@preact/signals";
import type {
  Change,
  DashboardState,
  Outage,
  Second,
} from "../../../packages/cli/src/dashboard/wire.js";
import { clock, count, rate } from "../data/format.js";
import { seconds, state } from "../data/model.js";
import { type Box, linePath, niceTop, xOf } from "../data/path.js";
import { minutesOf, windowOf } from "../data/series.js";
import { Choice } from "../parts/fields.js";
import { Panel, Scroller } from "../parts/panel.js";

type Line = readonly [name: "allowed" | "denied" | "near" | "withoutStore", label: string];

const ABOVE: readonly Line[] = [["allowed", "Allowed"]];
const BELOW: readonly Line[] = [
  ["denied", "Denied"],
  ["near", "Near"],
  ["withoutStore", "Without the store"],
];

const WIDTH = 1000;
const HEIGHT = 110;
/** Steps of the arrow keys from one end to the other. */
const STEPS = 60;

const WINDOWS = { auto: "what there is", 2: "2 minutes", 5: "5 minutes", 15: "15 minutes" };
const chosen = signal<`${keyof typeof WINDOWS}`>("auto");

/** A page that was opened just now has little to show: a quarter of an hour would be empty. */
const windowMs = computed(() =>
  chosen.value === "auto" ? windowOf(seconds.value) : Number(chosen.value) * 60_000,
);

/** Those that the chart shows. */
const shownSeconds = computed(() => {
  const fromMs = toMs.value - windowMs.value;
  return seconds.value.filter((second) => second.fromMs + second.spanMs > fromMs);
});

/** The position of the pointer, or of the arrow keys: ms before the last second. */
const cursorMs = signal<number | undefined>(undefined);

const toMs = computed(() => {
  const last = seconds.value.at(-1);
  return last === undefined ? 0 : last.fromMs + last.spanMs;
});

const perSecond = (second: Second, name: Line[0]): number => second[name] / (second.spanMs / 1000);

const secondAt = (atMs: number): Second | undefined =>
  seconds.value.findLast(({ fromMs, spanMs }) => fromMs <= atMs && atMs < fromMs + spanMs);

function Marks({ box, current }: { readonly box: Box; readonly current: DashboardState }) {
  const outages = current.stores.flatMap((store) => store.outages);
  const changes = current.changes.filter(
    ({ kind, version }) => version !== undefined || kind === "mode",
  );
  const x = (atMs: number): number => Math.max(0, Math.min(WIDTH, xOf(box, atMs)));
  return (
    <>
      {outages
        .filter((outage) => (outage.toMs ?? box.toMs) > box.fromMs)
        .map((outage, index) => (
          <rect
            key={index}
            class="outage"
            x={x(outage.fromMs)}
            width={Math.max(2, x(outage.toMs ?? box.toMs) - x(outage.fromMs))}
            height={HEIGHT}
          />
        ))}
      {changes
        .filter(({ atMs }) => atMs > box.fromMs)
        .map(({ id, atMs }) => (
          <path key={id} class="change" d={`M${x(atMs)} 0V${HEIGHT}`} />
        ))}
    </>
  );
}

function Plot({
  lines,
  current,
}: {
  readonly lines: readonly Line[];
  readonly current: DashboardState;
}) {
  const shown = shownSeconds.value;
  const most = Math.max(
    ...shown.flatMap((second) => lines.map(([name]) => perSecond(second, name))),
  );
  const end = toMs.value;
  const box: Box = {
    width: WIDTH,
    height: HEIGHT,
    fromMs: end - windowMs.value,
    toMs: end,
    top: niceTop(most),
  };
  const at = cursorMs.value;
  return (
    <div class="plot">
      <span class="top" aria-hidden="true">
        {lines.map(([, label]) => label.toLowerCase()).join(", ")}: 0 to {rate(box.top)}/s
      </span>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="grid" d={`M0 ${HEIGHT / 2}H${WIDTH}M0 0H${WIDTH}`} />
        <Marks box={box} current={current} />
        {lines.map(([name]) => (
          <path
            key={name}
            class={`line ${name}`}
            d={linePath(
              shown.map((second) => ({
                atMs: second.fromMs,
                spanMs: second.spanMs,
                value: perSecond(second, name),
              })),
              box,
            )}
          />
        ))}
        {at !== undefined && <path class="cursor" d={`M${xOf(box, end - at)} 0V${HEIGHT}`} />}
      </svg>
    </div>
  );
}

function cursorText(): string {
  const at = cursorMs.value;
  if (at === undefined) return "Point at the chart, or use the arrow keys, to read a second.";
  const atMs = toMs.value - at;
  const second = secondAt(Math.min(atMs, toMs.value - 1));
  if (second === undefined) return `${clock(atMs)}: nothing known`;
  const values = [...ABOVE, ...BELOW].map(
    ([name, label]) => `${label.toLowerCase()} ${rate(perSecond(second, name))}/s`,
  );
  return `${clock(second.fromMs)}: ${values.join(", ")}`;
}

function move(event: KeyboardEvent): void {
  const former = cursorMs.value ?? 0;
  const next = {
    ArrowLeft: former + windowMs.value / STEPS,
    ArrowRight: former - windowMs.value / STEPS,
    Home: windowMs.value,
    End: 0,
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  cursorMs.value = Math.max(0, Math.min(windowMs.value, next));
}

function point(event: MouseEvent & { readonly currentTarget: Element }): void {
  const box = event.currentTarget.querySelector("svg")?.getBoundingClientRect();
  if (box === undefined) return;
  const part = 1 - (event.clientX - box.left) / box.width;
  cursorMs.value = Math.max(0, Math.min(1, part)) * windowMs.value;
}

function Legend() {
  return (
    <ul class="legend" aria-hidden="true">
      {[...ABOVE, ...BELOW].map(([name, label]) => (
        <li key={name}>
          <svg viewBox="0 0 24 8" width="24" height="8">
            <path class={`line ${name}`} d="M0 4H24" />
          </svg>
          {label}
        </li>
      ))}
      <li>
        <svg viewBox="0 0 24 12" width="24" height="12">
          <path class="change" d="M12 0V12" />
        </svg>
        Change
      </li>
      <li>
        <svg viewBox="0 0 24 12" width="24" height="12">
          <rect class="outage" width="24" height="12" />
        </svg>
        Outage
      </li>
    </ul>
  );
}

const describeOutage = ({ fromMs, toMs: endMs, answered }: Outage): string =>
  `outage ${clock(fromMs)} to ${endMs === undefined ? "now" : clock(endMs)}, answered ${answered}`;

const describeChange = ({ atMs, text, version }: Change): string =>
  `${clock(atMs)} ${text === "" ? `version ${version}` : text}`;

function Table({ current }: { readonly current: DashboardState }) {
  const events = (fromMs: number): string => {
    const within = (atMs: number): boolean => atMs >= fromMs && atMs < fromMs + 60_000;
    const changes = current.changes.filter(({ atMs }) => within(atMs)).map(describeChange);
    const outages = current.stores
      .flatMap((store) => store.outages)
      .filter((outage) => within(outage.fromMs))
      .map(describeOutage);
    return [...changes, ...outages].join("; ");
  };
  return (
    <Scroller label="The chart as a table">
      <table>
        <caption>Counts of each minute, the newest first</caption>
        <thead>
          <tr>
            <th scope="col">Minute</th>
            {[...ABOVE, ...BELOW].map(([name, label]) => (
              <th key={name} scope="col" class="number">
                {label}
              </th>
            ))}
            <th scope="col">Changes and outages</th>
          </tr>
        </thead>
        <tbody>
          {minutesOf(seconds.value).map((minute) => (
            <tr key={minute.fromMs}>
              <th scope="row">{clock(minute.fromMs).slice(0, 5)}</th>
              {[...ABOVE, ...BELOW].map(([name]) => (
                <td key={name} class="number">
                  {count(minute[name])}
                </td>
              ))}
              <td>{events(minute.fromMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroller>
  );
}

const isTableOpen = signal(false);
const TIMES = [1, 2 / 3, 1 / 3, 0];

/** By the second if the chart is short. */
const timeAt = (atMs: number): string =>
  windowMs.value < 15 * 60_000 ? clock(atMs) : clock(atMs).slice(0, 5);

export function Chart() {
  const current = state.value;
  if (current === undefined) return null;
  const end = toMs.value;
  const isEmpty = seconds.value.every(({ asked }) => asked === 0);
  return (
    <Panel
      id="chart"
      title={`Last ${windowMs.value / 60_000} minutes`}
      note="a second; each line has its own pattern"
    >
      <Choice label="Show" options={WINDOWS} value={chosen} />
      {isEmpty && <p class="empty">Nothing was asked in the last 15 minutes.</p>}
      <div
        class="plots"
        role="slider"
        tabIndex={0}
        aria-label="Time in the chart"
        aria-valuemin={0}
        aria-valuemax={windowMs.value / 1000}
        aria-valuenow={Math.round((windowMs.value - (cursorMs.value ?? 0)) / 1000)}
        aria-valuetext={cursorText()}
        onKeyDown={move}
        onMouseMove={point}
        onMouseLeave={() => {
          cursorMs.value = undefined;
        }}
      >
        <Plot lines={ABOVE} current={current} />
        <Plot lines={BELOW} current={current} />
        <div class="times" aria-hidden="true">
          {TIMES.map((part) => (
            <span key={part}>{end === 0 ? "" : timeAt(end - part * windowMs.value)}</span>
          ))}
        </div>
      </div>
      <p class="reading" aria-hidden="true">
        {cursorText()}
      </p>
      <Legend />
      <details
        onToggle={(event) => {
          isTableOpen.value = event.currentTarget.open;
        }}
      >
        <summary>The chart as a table</summary>
        {isTableOpen.value && <Table current={current} />}
      </details>
    </Panel>
  );
}
