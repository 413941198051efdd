/** A start promised by rules, and the ticket that gives it back from any process. */
import type { ReservationCharge, ReservationReceipt } from "../algorithms/kernel.js";
import type { DecisionReason } from "../core/decision.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import { decodeTicket, encodeTicket } from "../core/ticket.js";
import type { PolicyRequest } from "./matched-rule.js";
import type { RulesDecision } from "./rules-decision.js";

/** What was promised, or why nothing was. */
export type RulesReservation =
  | {
      readonly allowed: true;
      /** Milliseconds from now until the work may start: of several rules the longest; whole µs, 0 = at once. */
      readonly delayMs: number;
      /** The same on the store's clock: integer µs since the Unix epoch. */
      readonly readyAtUs: number;
      /** Goes to `cancelReserved`, in this process or another one. It holds the request. */
      readonly ticket: string;
      readonly decision: RulesDecision;
    }
  | {
      /** Whether there is a start in time. */
      readonly allowed: false;
      /** Why there is no start in time. */
      readonly reason: DecisionReason;
      /** Whole ms until the cost would fit if no other call took any; Infinity if it never can. */
      readonly retryAfterMs: number;
      /** The decision behind it. */
      readonly decision: RulesDecision;
    };

/** What a ticket holds: the request, and each rule's receipt by its name. */
export interface Ticket {
  readonly request: PolicyRequest & { readonly slot?: string | undefined };
  readonly receipts: Readonly<Record<string, ReservationReceipt>>;
  /** Names of the candidates that were charged beside. */
  readonly beside: readonly string[];
}

const MOST_CHARACTERS = 65_536;

export function writeTicket(ticket: Ticket): string {
  return encodeTicket(ticket);
}

/** @throws InvalidOptionError */
export function readTicket(text: unknown): Ticket {
  const refuse = (): never => {
    const allowed = "the ticket of a reservation, as reserveRules answered it";
    throw new InvalidOptionError("ticket", withoutText(text), allowed);
  };
  const ticket = (decodeTicket(text, MOST_CHARACTERS) ?? {}) as Partial<Ticket>;
  const { request, receipts, beside } = ticket;
  const isGood =
    typeof request === "object" &&
    request !== null &&
    typeof receipts === "object" &&
    receipts !== null &&
    Object.values(receipts).every(isReceipt) &&
    Array.isArray(beside);
  return isGood ? { request, receipts, beside } : refuse();
}

/** Nothing but whole numbers may reach a store. */
function isReceipt(value: unknown): value is ReservationReceipt {
  const { readyAtUs, delayUs, openedUs, sold, charges } = (value ??
    {}) as Partial<ReservationReceipt>;
  const isList = Array.isArray(charges) && charges.length > 0 && charges.length <= 2;
  return (
    [readyAtUs, delayUs, openedUs, sold].every(isCount) &&
    isList &&
    charges.every((charge: unknown) => {
      const { extra, endedUs } = (charge ?? {}) as Partial<ReservationCharge>;
      return isCount(extra) && isCount(endedUs);
    })
  );
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
