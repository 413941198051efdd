/** What the commands on one key of a running store share: their options, and the limiter they ask. */
import { type Identity, type Policy, RateLimiter, Semaphore, type Store } from "sluice";
import { keyId } from "sluice/audit";
import {
  keyArgument,
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "../../command-line/options.js";
import { didYouMean } from "../../did-you-mean.js";
import { policiesFrom, POLICY_OPTIONS } from "../../command-line/policy-options.js";
import { redactUrl } from "../../command-line/redact.js";
import { connect, requiredRedisUrl, STORE_OPTIONS } from "../../command-line/store-options.js";
import { formatCount, printable } from "../../terminal/format.js";
import { type Io, terminalOf } from "../../terminal/terminal.js";

/** The variable with the secret: an argument would show in the list of processes. */
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

/** The option of the commands that know semaphores. */
export const SEMAPHORE_OPTION = {
  semaphore: {
    type: "boolean",
    help: "The key of a semaphore of --limit permits, whose name is --name (default semaphore).",
  },
} as const satisfies OptionTable;

/** One key of a store. */
interface Target {
  readonly key: string;
  /** For every verb on the key. */
  readonly slot: string | undefined;
  /** The key, fit to be shown. */
  readonly shown: string;
  /** The store, fit to be shown. */
  readonly place: string;
}

/** One key of a store, through a limiter with the policies that the options describe. */
export interface KeyAccess extends Target {
  readonly policies: readonly Policy[];
  readonly limiter: RateLimiter;
}

/** One key of a store, through a semaphore. */
export interface SemaphoreAccess extends Target {
  readonly name: string;
  readonly semaphore: Semaphore;
}

type KeyValues = OptionValues<typeof KEY_OPTIONS>;

/** Checks the options, connects, runs `work` on the key and disconnects. */
export async function withKey<R>(
  values: KeyValues,
  positionals: readonly string[],
  env: Io["env"],
  work: (access: KeyAccess) => Promise<R>,
): Promise<R> {
  const policy = policiesFrom(values);
  return connected(values, positionals, env, (target, common) => {
    const limiter = new RateLimiter({ ...common, policy, onStoreFailure: "throw" });
    return work({ ...target, policies: policy, limiter });
  });
}

/** The same for a semaphore, which has no policy but a name and a limit. */
export async function withSemaphore<R>(
  values: KeyValues,
  positionals: readonly string[],
  env: Io["env"],
  work: (access: SemaphoreAccess) => Promise<R>,
): Promise<R> {
  const given: Readonly<Record<string, unknown>> = { ...values };
  for (const option of Object.keys(POLICY_OPTIONS)) {
    if (option === "limit" || option === "name" || given[option] === undefined) continue;
    throw new UsageError(`--${option} belongs to a policy; a semaphore has --limit and --name`);
  }
  if (values.limit === undefined) throw new UsageError("--limit is missing");
  const limit = numberOption("limit", values.limit, { min: 1, max: 1e9, whole: true });
  const { name = "semaphore" } = values;
  return connected(values, positionals, env, async (target, common) => {
    const semaphore = new Semaphore({ ...common, limit, name });
    try {
      return await work({ ...target, name, semaphore });
    } finally {
      await semaphore.close();
    }
  });
}

/** What limiters and semaphores have in common. */
interface CommonOptions {
  readonly store: Store;
  readonly identity: Identity;
  readonly namespace: string | undefined;
}

async function connected<R>(
  values: KeyValues,
  positionals: readonly string[],
  env: Io["env"],
  work: (target: Target, common: CommonOptions) => Promise<R>,
): Promise<R> {
  const key = keyArgument(positionals);
  const { slot, namespace } = values;
  const shown = `${printable(key)}${slot === undefined ? "" : ` in slot ${printable(slot)}`}`;
  const url = requiredRedisUrl(values, env);
  const identity = identityFrom(values.identity, env);
  const store = await connect(url, values);
  try {
    const target = { key, slot, shown, place: redactUrl(url) };
    return await work(target, { store, identity, namespace });
  } finally {
    await store.close();
  }
}

/** A block is state of a limiter's key, which a semaphore's key does not have. @throws UsageError */
export function refuseSemaphore(values: { readonly semaphore: boolean }): void {
  if (!values.semaphore) return;
  throw new UsageError(
    "a semaphore cannot be blocked. To let fewer in, call semaphore.setLimit(key, 1) in a program; " +
      "to end what is held, use sluice reset --semaphore",
  );
}

/** Says what was done to a key, in words or as JSON. */
export function tellDone(
  { key, slot, shown, policies, place }: KeyAccess,
  values: { readonly json: boolean },
  io: Io,
  done: { readonly text: string; readonly result: object },
): void {
  if (values.json) {
    const result = { key, slot, keyId: keyId(key), policies, ...done.result };
    io.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const text = `key ${shown} on ${place}: ${done.text}, under ${formatCount(policies.length, "policy")}`;
  terminalOf(io.stdout, io.env).say(`${text}\n`);
}

function identityFrom(how: string | undefined, env: Io["env"]): Identity {
  if (how === undefined || how === "sha256") return "sha256";
  if (how === "plain") return "plain";
  if (how !== "hmac") {
    // Not shown: it may be the secret.
    const near = didYouMean(how, ["sha256", "plain", "hmac"]);
    throw new UsageError(`--identity is sha256, plain or hmac${near}`);
  }
  const hmacSecret = env[SECRET_VARIABLE];
  if (hmacSecret === undefined || hmacSecret === "") {
    throw new UsageError(`--identity hmac needs the secret in ${SECRET_VARIABLE}`);
  }
  return { hmacSecret };
}
