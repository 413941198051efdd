/** What the commands on one key of a running store share: their options, and the limiter they ask. */
import type { Policy } from "../algorithms/registry.js";
import { checkSlot } from "../core/key.js";
import { type Identity, RateLimiter } from "../index.js";
import { printable } from "./format.js";
import { keyArgument, type OptionTable, type OptionValues, UsageError } from "./options.js";
import { policiesFrom, POLICY_OPTIONS } from "./policy-options.js";
import { redactUrl } from "./redact.js";
import { connect, requiredRedisUrl, STORE_OPTIONS } from "./store-options.js";
import type { Io } from "./terminal.js";

/** Where the secret comes from: an argument would show in the list of processes. */
const SECRET_VARIABLE = "SLUICE_HMAC_SECRET";

/** What every command on one key of a running store takes. */
export const KEY_OPTIONS = {
  ...POLICY_OPTIONS,
  ...STORE_OPTIONS,
  identity: {
    type: "string",
    value: "HOW",
    help: `What the limiter makes of keys: sha256 (default), plain, or hmac with the secret in ${SECRET_VARIABLE}.`,
  },
  slot: {
    type: "string",
    value: "TEXT",
    help: "The slot that the key's calls give it, if they do: in each it has another state.",
  },
  json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
} as const satisfies OptionTable;

/** One key of a store, through a limiter with the policies that the options describe. */
export interface KeyAccess {
  readonly key: string;
  /** For every verb on the key. */
  readonly slot: string | undefined;
  /** The key, fit to be shown. */
  readonly shown: string;
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
  const { slot } = values;
  checkSlot(slot);
  const shown = `${printable(key)}${slot === undefined ? "" : ` in slot ${printable(slot)}`}`;
  const policies = policiesFrom(values);
  const url = requiredRedisUrl(values, env);
  const identity = identityFrom(values.identity, env);
  const store = await connect(url, values);
  try {
    const { namespace } = values;
    const limiter = new RateLimiter({
      policy: policies,
      store,
      identity,
      onStoreFailure: "throw",
      ...(namespace === undefined ? {} : { namespace }),
    });
    return await work({ key, slot, shown, policies, limiter, place: redactUrl(url) });
  } finally {
    await store.close();
  }
}

function identityFrom(how: string | undefined, env: Io["env"]): Identity {
  if (how === undefined || how === "sha256") return "sha256";
  if (how === "plain") return "plain";
  if (how !== "hmac") throw new UsageError("--identity is sha256, plain or hmac");
  const hmacSecret = env[SECRET_VARIABLE];
  if (hmacSecret === undefined || hmacSecret === "") {
    throw new UsageError(`--identity hmac needs the secret in ${SECRET_VARIABLE}`);
  }
  return { hmacSecret };
}
