/** What this page is of, whose numbers these are, and the switch over all rules. */
import { signal } from "@preact/signals";
import type {
  DashboardState,
  NumbersScope,
  StoreState,
} from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { counted, latency } from "../data/format.js";
import { isPaused, logOut, mayWrite, pause } from "../data/model.js";
import { askFirst, BeforeAfter } from "../parts/dialog.js";
import { Radios } from "../parts/fields.js";

type Mode = DashboardState["policies"]["mode"];

const MODES: Readonly<Record<Mode, string>> = {
  enforce: "Enforced: denials count",
  shadow: "Shadow: decided and counted, and everything passes",
  off: "Off: nothing is asked, everything passes",
};
const mode = signal<Mode>("enforce");

function changeMode(from: Mode): void {
  mode.value = from;
  askFirst({
    title: "Change the switch over all rules",
    action: "Switch",
    isGrave: true,
    Body: () => (
      <>
        <Radios legend="All rules" name="mode" options={MODES} value={mode} />
        <BeforeAfter before={MODES[from]} after={MODES[mode.value]} />
      </>
    ),
    run: () => post("mode", { mode: mode.value === "enforce" ? null : mode.value }),
    done: "Switched.",
  });
}

function scopeText({ kind, store, reporting, silent }: NumbersScope): string {
  if (kind === "this-process") return `this process alone, store ${store}`;
  const lost = silent === 0 ? "" : `, ${silent} silent`;
  return `${reporting === 1 ? "1 process" : `${reporting} processes`}${lost}, store ${store}`;
}

/** The worst of all stores: an open breaker first. */
function healthOf(stores: readonly StoreState[]): { isWell: boolean; text: string } {
  const open = stores.flatMap(({ parts }) => parts).filter(({ breaker }) => breaker !== "closed");
  if (open.length > 0) return { isWell: false, text: `${counted(open.length, "part")} failing` };
  const slowest = Math.max(...stores.map(({ p99Ms = 0 }) => p99Ms));
  return { isWell: true, text: slowest > 0 ? `well, ${latency(slowest)} p99` : "well" };
}

const PARTS = {
  rules: "Rules",
  denied: "Denied keys",
  lookup: "Look up a key",
  store: "Store",
  changes: "Changes",
  try: "Try a change",
};

export function Header({ state }: { readonly state: DashboardState }) {
  const { policies, visitor, scope } = state;
  const health = healthOf(state.stores);
  return (
    <header>
      <div class="bar">
        <h1>
          Sluice <b>{state.name}</b>
        </h1>
        <p class="facts">
          <span>version {policies.version}</span>
          <span>{scopeText(scope)}</span>
          {state.stores.length > 0 && (
            <span class={health.isWell ? "well" : "bad"}>{health.text}</span>
          )}
          {scope.gaps > 0 && <span class="bad">{counted(scope.gaps, "gap")} in the counts</span>}
        </p>
        <div class="switches">
          {mayWrite.value ? (
            <button
              type="button"
              class={`mode ${policies.mode}`}
              onClick={() => changeMode(policies.mode)}
            >
              {policies.mode}…<span class="sr"> is the mode of all rules. Change it</span>
            </button>
          ) : (
            <span class={`mode ${policies.mode}`}>{policies.mode}</span>
          )}
          <button
            type="button"
            aria-pressed={isPaused.value}
            onClick={() => pause(!isPaused.value)}
          >
            Pause
          </button>
          <span class="who">
            {visitor.who}
            {!mayWrite.value && " (read only)"}
          </span>
          {visitor.canLogOut && (
            <button type="button" onClick={() => void logOut()}>
              Log out
            </button>
          )}
        </div>
      </div>
      <nav aria-label="Parts of this page">
        {Object.entries(PARTS).map(([id, text]) => (
          <a key={id} href={`#${id}`}>
            {text}
          </a>
        ))}
      </nav>
    </header>
  );
}
