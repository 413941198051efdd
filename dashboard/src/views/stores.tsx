/** Whether the stores are well, and the semaphores that they hold. */
import type { Outage, StoreState } from "../../../packages/cli/src/dashboard/wire.js";
import { count, counted, duration, latency, moment, rate, size } from "../data/format.js";
import { nowMs, state } from "../data/model.js";
import { Panel, Scroller } from "../parts/panel.js";
import { Permits, SemaphoreName } from "./permits.js";

const FACTS: readonly (readonly [label: string, of: (store: StoreState) => string])[] = [
  ["Calls", ({ callsPerSecond: calls }) => (calls === undefined ? "–" : `${rate(calls)}/s`)],
  ["Calls a batch", ({ batchMean }) => (batchMean === undefined ? "–" : rate(batchMean))],
  ["Latency p50", ({ p50Ms }) => latency(p50Ms)],
  ["Latency p99", ({ p99Ms }) => latency(p99Ms)],
  ["Errors", ({ errorsPerSecond }) => `${rate(errorsPerSecond)}/s`],
];

/** A store inside the process is asked without a call: it has no latency, and no breaker. */
const MEMORY_FACTS: typeof FACTS = [
  ["Keys now", ({ memory }) => count(memory?.keys ?? 0)],
  ["Size now", ({ memory }) => size(memory?.bytes ?? 0)],
  ["Evicted since the start", ({ memory }) => counted(memory?.evictions ?? 0, "key")],
];

function outageText({ fromMs, toMs, answered, calls }: Outage): string {
  const now = nowMs();
  const lasted = duration((toMs ?? now) - fromMs);
  const ended = toMs === undefined ? `lasts for ${lasted}` : `to ${moment(toMs, now)} (${lasted})`;
  const how =
    calls === undefined
      ? "callers are"
      : `${counted(calls, "call")} ${calls === 1 ? "was" : "were"}`;
  return `${moment(fromMs, now)} ${ended}, ${how} answered “${answered}”`;
}

function Parts({ store }: { readonly store: StoreState }) {
  return (
    <ul class="breakers" aria-label="Breaker of each part">
      {store.parts.map(({ part, breaker }) => (
        <li key={part}>
          {part} <span class={breaker === "closed" ? "well" : "bad"}>breaker {breaker}</span>
        </li>
      ))}
    </ul>
  );
}

function Store({ store }: { readonly store: StoreState }) {
  return (
    <div class="store">
      <h3>{store.name}</h3>
      {store.memory === undefined ? (
        <Parts store={store} />
      ) : (
        <p class="note">In this process: nothing is sent, and no part can be away.</p>
      )}
      <dl class="pairs">
        {(store.memory === undefined ? FACTS : MEMORY_FACTS).map(([label, of]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{of(store)}</dd>
          </div>
        ))}
      </dl>
      {store.outages.length === 0 ? (
        store.memory === undefined && <p class="note">No outage since this process began.</p>
      ) : (
        <ul class="outages" aria-label="Outages, the newest first">
          {store.outages.map((outage, index) => (
            // Parts that fail together have one moment.
            <li key={index} class={outage.toMs === undefined ? "bad" : ""}>
              {outageText(outage)}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function Stores() {
  const stores = state.value?.stores ?? [];
  return (
    <Panel
      id="store"
      title="Store"
      note="of the process that serves this page, over the last minute"
    >
      {stores.length === 0 && <p class="empty">No store is watched.</p>}
      {stores.map((store) => (
        <Store key={store.name} store={store} />
      ))}
    </Panel>
  );
}

function heldText(held: number | undefined, limit: number | undefined): string {
  const by = held === undefined ? "by clients" : count(held);
  return limit === undefined ? by : `${by} of ${count(limit)}`;
}

export function Semaphores() {
  const semaphores = state.value?.semaphores ?? [];
  if (semaphores.length === 0) return null;
  return (
    <Panel id="semaphores" title="Semaphores" note="now">
      <Scroller label="Semaphores">
        <table>
          <thead>
            <tr>
              <th scope="col">Semaphore</th>
              <th scope="col" class="number">
                Held
              </th>
              <th scope="col" class="number">
                Waiting
              </th>
              <th scope="col" class="number">
                Lost
              </th>
            </tr>
          </thead>
          <tbody>
            {semaphores.map(({ semaphore, limit, held, waiting, lost, canList = false }) => (
              <tr key={semaphore}>
                <th scope="row">
                  <SemaphoreName name={semaphore} canList={canList} />
                </th>
                <td class="number">{heldText(held, limit)}</td>
                <td class="number">{count(waiting)}</td>
                <td class="number">{count(lost)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroller>
      <Permits />
    </Panel>
  );
}
