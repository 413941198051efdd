/** Errors on the wire: the same class, code and words on both sides. */
import {
  asStoreError,
  ClosedError,
  CrossSlotError,
  InvalidOptionError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import { InWords } from "../core/shown.js";

/** An error as it travels. */
export interface ErrorFrame {
  readonly code: string;
  readonly message: string;
  readonly option?: string;
  readonly value?: number | boolean | string;
  readonly allowed?: string;
  readonly ofKey?: boolean;
  readonly busy?: boolean;
  readonly timeoutMs?: number;
  readonly sent?: boolean;
  /** What the server behind the service said. */
  readonly cause?: string;
}

const LONGEST_TEXT = 1000;

export function errorFrame(thrown: unknown): ErrorFrame {
  const error = asStoreError(thrown);
  const message = cut(error.message);
  if (error instanceof InvalidOptionError) {
    const { option, value, allowed, code } = error;
    return { code, message, option, allowed, ...(isPlain(value) && { value }) };
  }
  if (error instanceof StoreTimeoutError) {
    const { timeoutMs, sent, busy, code } = error;
    return { code, message, timeoutMs, sent, busy };
  }
  if (error instanceof CrossSlotError) return { code: error.code, message };
  if (error instanceof StoreUnavailableError) {
    const { ofKey, busy, code, cause } = error;
    const said = cause instanceof Error ? { cause: cut(cause.message) } : {};
    return { code, message, ofKey, busy, ...said };
  }
  // The store of the service is closed: for its clients, it is unavailable.
  const closed = error instanceof ClosedError ? "the service is being stopped" : message;
  return { code: "STORE_UNAVAILABLE", message: closed };
}

/** The error of a frame; of one that is of no known kind, a failure of the store. */
export function errorOf(frame: unknown): Error {
  const fields = (typeof frame === "object" && frame !== null ? frame : {}) as Partial<ErrorFrame>;
  const message =
    typeof fields.message === "string" ? fields.message : "the service gave no reason";
  return worded(errorWithFields(fields, message), message);
}

function errorWithFields(fields: Partial<ErrorFrame>, message: string): Error {
  const { code, option = "policy", value, allowed = "", timeoutMs = 0 } = fields;
  const { sent = true, busy = false, ofKey = false, cause } = fields;
  switch (code) {
    case "INVALID_OPTION":
      return new InvalidOptionError(option, value ?? new InWords("this"), allowed);
    case "STORE_TIMEOUT":
      return new StoreTimeoutError(timeoutMs, { sent, busy });
    case "CROSS_SLOT":
      return new CrossSlotError();
    default: {
      const said = cause === undefined ? {} : { cause: new Error(cause) };
      const known = code === "STORE_FULL" ? code : "STORE_UNAVAILABLE";
      return new StoreUnavailableError(message, { ofKey, busy, code: known, ...said });
    }
  }
}

/** In the words of the service, which are of its version. */
function worded(error: Error, message: string): Error {
  if (error.message !== message) error.message = message;
  return error;
}

function isPlain(value: unknown): value is number | boolean | string {
  if (typeof value === "number") return Number.isFinite(value);
  return typeof value === "boolean" || typeof value === "string";
}

function cut(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}
