/** sluice/diagnostics: decisions, waits, outages and calls of stores on node:diagnostics_channel. Needs Node, Bun or Deno. */
export type * from "../policies/index.js";
export {
  type AcquireContext,
  type ChannelMessages,
  CHANNELS,
  type DecisionMessage,
  type OverrideMessage,
  type PoliciesMessage,
  type RulesMessage,
  type ShownKey,
  type StoreCallContext,
  type StoreOutageMessage,
  type StoreRecoveryMessage,
} from "./channels.js";
export { publish, type Publisher, type PublishOptions } from "./publish.js";
