/**
 * Errors of clients without what clients attach to them: the command that failed. A login's has the password in it, a
 * script's may have keys in plain text, and console.log shows both.
 */
import { fieldOf } from "../../../core/shown.js";

/** Upstash's client, and servers that do not know a command, repeat it in the message. */
const REPEATED_COMMAND = /, (?:command was|with args beginning with): .*$/s;

/** The error itself if nothing is attached, otherwise a copy that says the same. */
export function withoutCommand(error: Error): Error {
  // A Cluster's client of ioredis that can reach no node has the reason of the last one here, command and all.
  const last = fieldOf(error, "lastNodeError");
  const own = error.message.replace(REPEATED_COMMAND, "");
  const message = last instanceof Error ? `${own} ${withoutCommand(last).message}` : own;
  if (message === error.message && !("command" in error)) return error;
  const code = fieldOf(error, "code");
  const copy = new Error(message, error.cause === undefined ? {} : { cause: error.cause });
  return Object.assign(copy, { name: error.name }, code === undefined ? {} : { code });
}
