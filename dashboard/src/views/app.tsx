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

/** What makes these numbers less than they seem, each in one line. */
function warnings(): readonly string[] {
  const current = state.value;
  const now = connection.value;
  if (current === undefined) return [];
  const { scope, policies } = current;
  const age = duration(Math.max(0, nowMs() - current.nowMs));
  const list: string[] = [];
  if (now.kind === "failing") {
    list.push(`These numbers are ${age} old. ${now.why} It is asked again.`);
  }
  if (scope.stale !== undefined) {
    const since = duration(Math.max(0, nowMs() - scope.stale.sinceMs));
    list.push(`The numbers of other processes are ${since} old: ${scope.stale.why}`);
  }
  if (policies.stale !== undefined) {
    const { forMs, why } = policies.stale;
    list.push(
      `The document has not been read for ${duration(forMs)}; the last one stays in force: ${why}`,
    );
  }
  if (!policies.isPublished) {
    list.push(
      "These rules are not published in the store: a change here holds in this process alone.",
    );
  }
  return list;
}

function Warnings() {
  return (
    <div class="warnings" role="status">
      {warnings().map((warning) => (
        <p key={warning} class="problem">
          {warning}
        </p>
      ))}
    </div>
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
