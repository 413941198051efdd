/** What a limiter's pipeline is made of. */
import type { Closing } from "../core/closing.js";
import type { Identify } from "../core/identity.js";
import type { Events } from "../events/events.js";
import type { BreakerSettings } from "../resilience/breaker.js";
import type { Store } from "../stores/store.js";
import type { LimiterCounts } from "./counts.js";
import type { OnFailure } from "./on-failure.js";
import type { PolicyResolver } from "./policy-resolver.js";
import type { ShortcutOptions } from "./shortcuts/shortcuts.js";

export interface PipelineOptions extends Pick<ShortcutOptions, "denials" | "prefetch"> {
  readonly store: Store;
  /** The limiter's, as events name it. */
  readonly name: string;
  readonly resolver: PolicyResolver;
  readonly identify: Identify;
  readonly timeoutMs: number;
  readonly breaker: BreakerSettings | undefined;
  readonly onFailure: OnFailure;
  readonly blockForUs: number;
  readonly enforce: boolean;
  readonly events: Events;
  readonly counts: LimiterCounts;
  readonly closing: Closing;
}
