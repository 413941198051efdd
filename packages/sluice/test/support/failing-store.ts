/** A store in memory whose next calls fail. */
import type { StoreCall, StoreResult } from "../../src/stores/store.js";
import { MemoryStore } from "../../src/stores/memory/memory-store.js";

export class FailingStore extends MemoryStore {
  /** How many of the next calls fail. */
  fails = 0;

  override executeSync(call: StoreCall): StoreResult {
    if (this.fails > 0) {
      this.fails -= 1;
      throw new Error("broken");
    }
    return super.executeSync(call);
  }
}
