/** The whole page: what is shown in each state of the connection. */
import { duration } from "../data/format.js";
import { connection, nowMs, poll, state } from "../data/model.js";
import { Dialog } from "../parts/dialog.js";
import { Changes } from "./changes.js";
import { Chart } from "./chart.js";
import { Denied } from "./denied.js";
import { Header } from "./header.js";
import { LogIn } from "./login.js";
import { LookUpKey } from "./lookup.js";
import { Rules } from "./rules.js";
import { Semaphores, Stores } from "./stores.js";
import { Totals } from "./totals.js";
import { TryChange } from "./try.js";

/** What makes these numbers less than they seem. How long it has lasted is seen, and not said again each second. */
interface Warning {
  readonly said: string;
  readonly seen: string;
}

function warnings(): readonly Warning[] {
  const current = state.value;
  const now = connection.value;
  if (current === undefined) return [];
  const { scope, policies } = current;
  const age = duration(Math.max(0, nowMs() - current.nowMs));
  const list: Warning[] = [];
  if (now.kind === "failing") {
    const seen = `These numbers are ${age} old, and are asked for again. ${now.why}`;
    list.push({ said: `${now.why} What is shown is old.`, seen });
  }
  if (scope.stale !== undefined) {
    const since = duration(Math.max(0, nowMs() - scope.stale.sinceMs));
    const { why } = scope.stale;
    list.push({
      said: `The numbers of other processes are old: ${why}`,
      seen: `The numbers of other processes are ${since} old: ${why}`,
    });
  }
  if (policies.stale !== undefined) {
    const { forMs, why } = policies.stale;
    list.push({
      said: `The document cannot be read; the last one stays in force: ${why}`,
      seen: `The document has not been read for ${duration(forMs)}; the last one stays in force: ${why}`,
    });
  }
  if (!policies.isPublished) {
    const text =
      "These rules are not published in the store: a change here holds in this process alone.";
    list.push({ said: text, seen: text });
  }
  return list;
}

function Warnings() {
  const list = warnings();
  return (
    <>
      <p class="sr" role="status">
        {list.map(({ said }) => said).join(" ")}
      </p>
      {list.length > 0 && (
        <div class="warnings">
          {list.map(({ said, seen }) => (
            <p key={said} class="problem">
              {seen}
            </p>
          ))}
        </div>
      )}
    </>
  );
}

function Waiting({ why }: { readonly why: string | undefined }) {
  return (
    <main class="login">
      <h1>Sluice</h1>
      <p role="status">{why ?? "Loading…"}</p>
      {why !== undefined && (
        <button type="button" onClick={() => void poll()}>
          Ask again now
        </button>
      )}
    </main>
  );
}

export function App() {
  const now = connection.value;
  const current = state.value;
  if (now.kind === "login") return <LogIn why={now.why} canLogIn={now.canLogIn} />;
  if (current === undefined) return <Waiting why={now.kind === "failing" ? now.why : undefined} />;
  return (
    <>
      <Header state={current} />
      <main>
        <Warnings />
        <Totals />
        <Chart />
        <Rules />
        <div class="columns">
          <Denied />
          <LookUpKey />
        </div>
        <div class="columns">
          <div>
            <Stores />
            <Semaphores />
          </div>
          <Changes />
        </div>
        <TryChange />
      </main>
      <Dialog />
    </>
  );
}
