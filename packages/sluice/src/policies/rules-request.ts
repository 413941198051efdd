/** What a PolicySet is asked, and the checks on it. */
import { checkSignal } from "../core/abort.js";
import { toThousandths } from "../core/amount.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkSlot } from "../core/key.js";
import { checkObject, checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import type { PolicyRequest } from "./matched-rule.js";

/** A request, and how it is to be decided. */
export interface RulesRequest extends PolicyRequest {
  /**
   * Puts the keys of all rules beside others with the same text, such as "org:7": on a Cluster they are then decided
   * together. It is part of the keys. Default: none.
   */
  readonly slot?: string | undefined;
  /** Ends the wait for an answer; the request may yet be counted. */
  readonly signal?: AbortSignal | undefined;
}

/** What a request cost after all. */
export interface RulesSettlement {
  /** Units, for rules that take the cost from the request; default: as it was. */
  readonly cost?: number | undefined;
  /** Entries that have changed, for rules that take the cost from one. */
  readonly entries?: PolicyRequest["entries"] | undefined;
}

const KNOWN: ReadonlySet<string> = new Set(["entries", "rule", "cost", "plan", "slot", "signal"]);

/** @throws InvalidOptionError */
export function checkRequest(request: RulesRequest): void {
  if (!isKnown(request)) checkOptions("request", request, [...KNOWN]);
  const { entries, rule, cost, plan, slot, signal } = request;
  checkObject("entries", entries);
  if (cost !== undefined && cost !== 1) toThousandths("cost", cost);
  if (plan !== undefined && typeof plan !== "string") {
    throw new InvalidOptionError("plan", withoutText(plan), "the name of a plan, as text");
  }
  if (rule !== undefined && typeof rule !== "string") {
    throw new InvalidOptionError("rule", withoutText(rule), "the name of a rule, as text");
  }
  checkSlot(slot);
  if (signal !== undefined) checkSignal("signal", signal);
}

/** The check that can say what is wrong takes longer than all else here. */
function isKnown(request: RulesRequest): boolean {
  if (typeof request !== "object" || request === null) return false;
  // Not Object.keys: that would make a list for each request.
  for (const name in request) {
    if (!KNOWN.has(name)) return false;
  }
  return true;
}

/** @throws InvalidOptionError */
export function checkSettlement(settlement: unknown): RulesSettlement {
  const checked = checkOptions("settlement", settlement, ["cost", "entries"]) as RulesSettlement;
  if (checked.cost !== undefined) toThousandths("cost", checked.cost);
  if (checked.entries !== undefined) checkObject("entries", checked.entries);
  return checked;
}
