import { vi } from "vitest";

/** A busy machine must not decide whether something comes: what never comes fails all the same. */
const LIMIT_MS = 300_000;

/** Waits until `check` passes, and looks every `interval` ms. */
export function eventually<T>(check: () => T | Promise<T>, interval = 50): Promise<T> {
  return vi.waitFor(check, { timeout: LIMIT_MS, interval });
}
