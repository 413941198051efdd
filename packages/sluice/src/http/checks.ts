/**
 * What is probably a mistake of a set-up, noticed while its first requests come. Each is a warning with a code and a page,
 * once for each gate; nothing is decided by it.
 */
import type { HttpCall } from "./call.js";
import type { AskedCharge } from "./charge.js";

/** A warning's code, after SLUICE_HTTP_. */
export type CheckCode =
  | "PERMISSIVE_TRUST_PROXY"
  | "UNTRUSTED_FORWARDED_FOR"
  | "LIMITER_IN_HANDLER"
  | "CHARGED_TWICE"
  | "MEMORY_IN_CLUSTER";

const MESSAGES: Readonly<Record<CheckCode, string>> = {
  PERMISSIVE_TRUST_PROXY:
    "the framework trusts every X-Forwarded-For, so a client can get a new address, and a new limit, at will. " +
    "Say which proxies to trust",
  UNTRUSTED_FORWARDED_FOR:
    "a request has X-Forwarded-For, but the framework trusts no proxy: if there is one, all clients share the limit of its " +
    "address. Say which proxies to trust",
  LIMITER_IN_HANDLER:
    "every request creates a limiter, which knows nothing of earlier requests. " +
    "Create limiters once, outside the request handler",
  CHARGED_TWICE:
    "a request came to the same middleware twice and is charged once. Mount it on the application or on the router, not both",
  MEMORY_IN_CLUSTER:
    "a limiter counts in the memory of this process, which is one of several in a cluster: " +
    "each of them admits the whole limit. Give it a RedisStore, which they share",
};

/** For frameworks that have no setting for it. */
const ADDRESS_OPTION = "address: clientAddress({ trust: 1 }) for one of yours";

const PAGE = "docs/http.md#checks";

/** Says it on the platform's own channel of warnings; nothing if there is none. */
function warn(code: CheckCode, setting: string | undefined): void {
  if (typeof process !== "object" || typeof process.emitWarning !== "function") return;
  const message = [MESSAGES[code], ...(setting === undefined ? [] : [setting])].join(": ");
  process.emitWarning(`${message}. See ${PAGE}`, {
    type: "SluiceWarning",
    code: `SLUICE_HTTP_${code}`,
  });
}

/** How many requests of a gate are checked. */
const LOOKED_AT = 100;
/** If each of this many requests brought a new limiter, the application makes one for each request. */
const NEW_EACH_TIME = 20;

export class Checks {
  readonly #said = new Set<CheckCode>();
  readonly #limiters = new Set<object>();
  #looks = 0;

  /** Whether the first requests are still coming. */
  get areDue(): boolean {
    return this.#looks < LOOKED_AT;
  }

  /** Looks at a request and what it is charged. */
  look(call: HttpCall, charges: readonly AskedCharge[]): void {
    this.#looks += 1;
    this.#lookAtTrust(call);
    for (const { to } of charges) {
      this.#limiters.add(to);
      if (to.kind === "limiter" && !to.limiter.store.external && isClusterWorker()) {
        this.say("MEMORY_IN_CLUSTER");
      }
    }
    const isNew = this.#looks >= NEW_EACH_TIME && this.#limiters.size >= this.#looks;
    if (isNew) this.say("LIMITER_IN_HANDLER");
    // Nothing is kept from being collected by having been looked at.
    if (!this.areDue) this.#limiters.clear();
  }

  /** @param setting the setting that corrects the mistake */
  say(code: CheckCode, setting?: string): void {
    if (this.#said.has(code)) return;
    this.#said.add(code);
    warn(code, setting);
  }

  #lookAtTrust(call: HttpCall): void {
    const trust = call.trust?.();
    const setting = call.trustSetting ?? ADDRESS_OPTION;
    if (trust === "everybody") this.say("PERMISSIVE_TRUST_PROXY", setting);
    if (trust === "nobody" && call.header("x-forwarded-for") !== undefined) {
      this.say("UNTRUSTED_FORWARDED_FOR", setting);
    }
  }
}

/** Whether this process is one of several that do the same: a worker of node:cluster, or not the first of PM2's. */
function isClusterWorker(): boolean {
  if (typeof process !== "object") return false;
  // As types have it, all of it is in `default`; what is returned is the module as `require` has it.
  const cluster: { readonly default?: unknown; readonly isWorker?: boolean } =
    process.getBuiltinModule?.("node:cluster") ?? {};
  return cluster.isWorker === true || Number(process.env?.["NODE_APP_INSTANCE"]) > 0;
}
