import type { Policy } from "../algorithms/registry.js";
import { RateLimiter } from "../index.js";
import { keyArgument, type OptionTable, type OptionValues } from "./options.js";
import { policiesFrom, POLICY_OPTIONS } from "./policy-options.js";
import { redactUrl } from "./redact.js";
import { connect, requiredRedisUrl, STORE_OPTIONS } from "./store-options.js";
import type { Io } from "./terminal.js";

/** What every command on one key of a running store takes. */
export const KEY_OPTIONS = {
  ...POLICY_OPTIONS,
  ...STORE_OPTIONS,
  json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
} as const satisfies OptionTable;

/** One key of a store, through a limiter with the policies that the options describe. */
export interface KeyAccess {
  readonly key: string;
  readonly policies: readonly Policy[];
  readonly limiter: RateLimiter;
  /** The store, fit to be shown. */
  readonly place: string;
}

/** Checks the options, connects, runs `work` on the key and disconnects. */
export async function withKey<R>(
  values: OptionValues<typeof KEY_OPTIONS>,
  positionals: readonly string[],
  env: Io["env"],
  work: (access: KeyAccess) => Promise<R>,
): Promise<R> {
  const key = keyArgument(positionals);
  const policies = policiesFrom(values);
  const url = requiredRedisUrl(values, env);
  const store = await connect(url, values);
  try {
    const { namespace } = values;
    const limiter = new RateLimiter({
      policy: policies,
      store,
      onStoreFailure: "throw",
      ...(namespace === undefined ? {} : { namespace }),
    });
    return await work({ key, policies, limiter, place: redactUrl(url) });
  } finally {
    await store.close();
  }
}
