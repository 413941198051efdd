/** Overrides of a store that keeps none, at the service that has the store: they live as long as it does. */
import { type Clock, systemClock } from "../../core/clock.js";
import type {
  OverrideStore,
  OverridesRead,
  OverrideWrite,
  StoredOverride,
} from "../../stores/override-store.js";
import type { Store } from "../../stores/store.js";

interface OverrideTable {
  version: number;
  readonly texts: Map<string, StoredOverride>;
}

class OverridesInMemory implements OverrideStore {
  readonly #clock: Clock;
  readonly #tables = new Map<string, OverrideTable>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async write(limiter: string, { id, text, untilMs, most }: OverrideWrite): Promise<boolean> {
    const nowUs = this.#clock.nowUs();
    const table = this.#tables.get(limiter) ?? freshTable();
    const { texts } = table;
    for (const [other, stored] of texts) {
      if (stored.untilMs !== undefined && stored.untilMs <= nowUs / 1e3) texts.delete(other);
    }
    const others = texts.size - (texts.has(id) ? 1 : 0);
    if (text !== undefined && others >= most) return false;
    this.#tables.set(limiter, table);
    if (text === undefined) texts.delete(id);
    else texts.set(id, { text, untilMs });
    table.version = Math.max(table.version + 1, nowUs);
    return true;
  }

  async read(limiter: string, known: string): Promise<OverridesRead> {
    const nowMs = Math.floor(this.#clock.nowUs() / 1e3);
    const table = this.#tables.get(limiter);
    const version = table === undefined ? "" : String(table.version);
    if (version === known) return { version, nowMs, texts: undefined };
    return { version, nowMs, texts: new Map(table?.texts) };
  }
}

function freshTable(): OverrideTable {
  return { version: 0, texts: new Map() };
}

const inMemory = new WeakMap<Store, OverrideStore>();

/** What keeps the overrides of a store. */
export function overridesOf(store: Store): OverrideStore {
  const known = store.overrides ?? inMemory.get(store);
  if (known !== undefined) return known;
  const overrides = new OverridesInMemory(store.clock ?? systemClock);
  inMemory.set(store, overrides);
  return overrides;
}
