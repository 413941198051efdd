import { describe, expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import { ClosedError, MemoryStore, type Store, type StoreCall } from "../index.js";
import type { Done } from "../stores/store.js";
import { checkClosing } from "./closing-case.js";
import { ManualClock } from "./manual-clock.js";
import { PureStore } from "./pure-store.js";

/** Outside the process, and closed as it should be, but for what a test changes. */
class ClosingStore extends OutsideStore implements Store {
  readonly controller = new AbortController();
  readonly closed: AbortSignal = this.controller.signal;
  closes = 0;

  /** What a call gets once the store is closed. */
  refuse(_call: StoreCall, done: Done): void {
    done(new ClosedError("store"));
  }

  override submit(call: StoreCall, done: Done): void {
    if (this.isClosed) this.refuse(call, done);
    else super.submit(call, done);
  }

  override async close(): Promise<void> {
    this.closes += 1;
    this.isClosed = true;
    this.controller.abort(new ClosedError("store"));
  }
}

test.each<[string, () => Store]>([
  ["the pure kernels", () => new PureStore(new ManualClock())],
  ["memory", () => new MemoryStore({ clock: new ManualClock() })],
  ["a store outside the process", () => new ClosingStore()],
])("%s keep the rule", async (_, makeStore) => {
  await checkClosing(makeStore(), "closing");
});

describe("a store is found out that, once closed,", () => {
  test.each<[string, RegExp, (store: ClosingStore) => void]>([
    [
      "goes on deciding",
      /a call after close\(\) got \{.*"granted":1000/,
      (store) => {
        store.refuse = (call, done) => {
          store.pure.submit(call, done);
        };
      },
    ],
    [
      "fails otherwise",
      /a call after close\(\) got Error: gone/,
      (store) => {
        store.refuse = (_call, done) => {
          done(new Error("gone"));
        };
      },
    ],
    [
      "settles a call twice",
      /calls were settled/,
      (store) => {
        store.refuse = (_call, done) => {
          done(new ClosedError("store"));
          done(new ClosedError("store"));
        };
      },
    ],
    [
      "lets what is under way fail otherwise",
      /a call under way got Error: connection lost/,
      (store) => {
        const close = store.close.bind(store);
        store.close = () => {
          store.behaviour = "fails";
          return close();
        };
        const submit = store.submit.bind(store);
        store.submit = (call, done) => {
          queueMicrotask(() => {
            if (store.behaviour === "fails" && !call.debits[0]?.id.includes("close")) {
              done(store.error);
            } else submit(call, done);
          });
        };
      },
    ],
    [
      "does not fire its signal",
      /did not fire/,
      (store) => {
        store.close = async () => {
          store.isClosed = true;
        };
      },
    ],
    [
      "cannot be closed again",
      /closed twice/,
      (store) => {
        const close = store.close.bind(store);
        store.close = async () => {
          if (store.closes > 0) throw new Error("closed twice");
          await close();
        };
      },
    ],
  ])("%s", async (_, message, spoil) => {
    const store = new ClosingStore();
    spoil(store);
    await expect(checkClosing(store, "closing")).rejects.toThrow(message);
  });

  test("still decides at once", async () => {
    const store = new PureStore(new ManualClock());
    const decide = PureStore.prototype.executeSync.bind(new PureStore(store.clock));
    store.executeSync = decide;
    await expect(checkClosing(store, "closing")).rejects.toThrow(/granted|ended with/);
  });
});
