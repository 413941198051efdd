/** Reads the bodies of requests, no longer than they may be, and JSON out of them. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { HttpProblem } from "./problem.js";

/** Takes a body, or why there is none; once. */
type BodyTaker = (body: Buffer | undefined, problem?: HttpProblem) => void;

const EMPTY = Buffer.alloc(0);

/** Passes the whole body on. If its sender has disconnected, it passes nothing on: there is no client to answer. */
export function readBody(request: IncomingMessage, most: number, take: BodyTaker): void {
  let first: Buffer | undefined;
  let others: Buffer[] | undefined;
  let size = 0;
  const onData = (chunk: Buffer): void => {
    size += chunk.length;
    if (size > most) {
      request.off("data", onData);
      request.off("end", onEnd);
      take(undefined, tooLarge(most));
    } else if (first === undefined) first = chunk;
    else (others ??= [first]).push(chunk);
  };
  const onEnd = (): void => {
    take(others === undefined ? (first ?? EMPTY) : Buffer.concat(others, size));
  };
  request.on("data", onData);
  request.on("end", onEnd);
}

export function tooLarge(most: number): HttpProblem {
  return new HttpProblem("body-too-large", `at most ${most} bytes are read`);
}

/** Nothing is unpacked: a small body could become a long one. */
export function codedBody(): HttpProblem {
  const detail = "bodies are read as they come, without a Content-Encoding";
  return new HttpProblem("wrong-type", detail, [["Accept-Encoding", "identity"]]);
}

/** @throws HttpProblem */
export function objectIn(body: Buffer): Readonly<Record<string, unknown>> {
  // What is no UTF-8 would become the same characters, and two keys one.
  if (!isUtf8(body)) throw new HttpProblem("bad-json", "it is no UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    throw new HttpProblem("bad-json", "it cannot be parsed");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpProblem("bad-json", "it is no object");
  }
  return value as Readonly<Record<string, unknown>>;
}

/** Whether a field says JSON, with any parameters; so does none at all. */
export function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType === "application/json") return true;
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return type === "application/json" || type.endsWith("+json");
}
