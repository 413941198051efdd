/** What OpenTelemetry calls the labels of metrics, and the attributes of spans and of their events. */
import type { Decision } from "../core/decision.js";
import { SluiceError } from "../core/errors.js";
import type { DecisionMade } from "../events/events.js";
import type { Labels } from "../metrics/metric.js";
import type { OtelAttributes } from "./api-types.js";

/** Labels for which OpenTelemetry has its own name. All others are in Sluice's namespace. */
const CONVENTIONAL: Readonly<Record<string, string>> = {
  code: "error.type",
  // Of Redis this is the first word of an error, by the semantic conventions.
  server: "db.response.status_code",
};

/** The attribute that a label becomes. */
export function attributeOf(label: string): string {
  return CONVENTIONAL[label] ?? `sluice.${label}`;
}

/** Labels as attributes. One without text says nothing, and is left out. */
export function attributesOf(labels: Labels): OtelAttributes {
  const attributes: OtelAttributes = {};
  for (const [label, text] of Object.entries(labels)) {
    if (text !== "") attributes[attributeOf(label)] = text;
  }
  return attributes;
}

/** Names of attributes that no metric has. */
export const COST_ATTRIBUTE = "sluice.cost";
export const KEY_ID_ATTRIBUTE = "sluice.key_id";
export const LATE_MS_ATTRIBUTE = "sluice.late_ms";
export const OUTCOME_ATTRIBUTE = attributeOf("outcome");
export const ERROR_TYPE_ATTRIBUTE = attributeOf("code");

/** The outcome of a decision, by whether the limiter enforces it. */
function outcomeOf({ allowed }: Decision, enforce: boolean): string {
  if (allowed) return "allowed";
  return enforce ? "denied" : "shadow_denied";
}

/** Of a decision, as it was before shadow mode let it pass. What is without end is left out. */
export function decisionAttributes(
  { limiter, cost, decision, isShadow = false }: DecisionMade,
  enforce: boolean,
): OtelAttributes {
  const { policy, reason, source, limit, remaining, retryAfterMs } = decision;
  const attributes = attributesOf({ limiter, policy, reason, source });
  attributes[OUTCOME_ATTRIBUTE] = outcomeOf(decision, enforce && !isShadow);
  attributes[COST_ATTRIBUTE] = cost;
  const numbers = { limit, remaining, ...(retryAfterMs > 0 && { retry_after_ms: retryAfterMs }) };
  for (const [name, value] of Object.entries(numbers)) {
    if (Number.isFinite(value)) attributes[`sluice.${name}`] = value;
  }
  return attributes;
}

/** Sluice's code, else the name of the error's class: few, and never what a message says. */
export function errorType(error: unknown): string {
  if (error instanceof SluiceError) return error.code;
  return error instanceof Error ? error.constructor.name : typeof error;
}
