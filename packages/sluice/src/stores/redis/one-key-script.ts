/** Scripts about one key that are asked by themselves, outside of any batch. */
import { asStoreError, StoreUnavailableError } from "../../core/errors.js";
import type { RunScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import type { Script } from "./scripts.js";

/** Runs a script whose reply is an array. */
export async function runOnKey(
  run: RunScript,
  { sha, source }: Script,
  key: string,
  args: readonly string[],
): Promise<readonly unknown[]> {
  let reply: unknown;
  try {
    reply = await run(sha, source, [key], args);
  } catch (error) {
    throw asStoreError(asScriptFailure(error));
  }
  if (Array.isArray(reply)) return reply as readonly unknown[];
  throw new StoreUnavailableError("a script's reply is no array");
}

/** Some clients return integers as text, or as bigint. */
export function replyNumber(reply: unknown): number {
  const value = Number(reply);
  if (Number.isFinite(value)) return value;
  throw new StoreUnavailableError("a script's reply is no number");
}
