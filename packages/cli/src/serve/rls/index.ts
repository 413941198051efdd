/** Envoy's rate limit service, whatever carries its messages. */
export { decideRls } from "./rls-decide.js";
export { readRlsJson, rlsJson } from "./rls-json.js";
export * from "./rls-messages.js";
