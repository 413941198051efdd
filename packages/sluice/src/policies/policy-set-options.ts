/** Options of a PolicySet, and their checks. */
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import type { Identity } from "../core/identity.js";
import {
  asGiven,
  unchecked,
  byDefault,
  checkChoice,
  milliseconds,
  optional,
  optionReader,
  aText,
} from "../core/options.js";
import { hasField, withoutText } from "../core/shown.js";
import type { RateLimiterOptions } from "../limiter/options.js";
import { checkStore, type Store } from "../stores/store.js";
import type { PoliciesDocument } from "./document.js";
import type { PolicySource } from "./policy-source.js";

/** A switch of one process over all rules. */
export type ModeSwitch = "shadow" | "off";

/** Options of `PolicySet`. */
export interface PolicySetOptions<S extends Store = Store>
  extends Pick<RateLimiterOptions<S>, "timeout" | "breaker" | "denyCache" | "store" | "namespace"> {
  /** The document itself, or its source: `new PoliciesFile(...)`, `new PublishedPolicies(...)`. */
  readonly source: PoliciesDocument | PolicySource;
  /** How identities become ids in the store; default "sha256" if that is outside the process. */
  readonly identity?: Identity | undefined;
  /** How often the source is checked without news of a change: 100 ms to 1 h; default 1 s. */
  readonly every?: Duration | undefined;
  /** After this time without an answer, a source counts as unreachable: 100 ms to 1 h; default 5 s. */
  readonly patience?: Duration | undefined;
  /**
   * A file of this machine that keeps a copy of what was last in force: for a start while the source cannot be reached, or
   * holds nothing good. It is rewritten with each version, and labelled stale when it is used.
   */
  readonly cacheFile?: string | undefined;
  /**
   * "shadow": everything is decided and counted, and passes; "off": nothing is asked. Weaker than the document's own mode,
   * it wins. Default: the environment's SLUICE_MODE, or none.
   */
  readonly mode?: ModeSwitch | undefined;
}

/** A path. @throws InvalidOptionError */
export const checkPath = aText("the path of a file", (path) => path !== "" && !path.includes("\0"));

const span = milliseconds(100e3, 3600e6);

/** Its limiters check their own options. */
export const POLICY_SET_OPTIONS = optionReader<PolicySetOptions>()({
  source: checkSource,
  store: optional(checkStore),
  namespace: byDefault("sluice", asGiven),
  ...unchecked("identity", "timeout", "breaker", "denyCache"),
  every: byDefault("1s", span),
  patience: byDefault("5s", span),
  cacheFile: optional(checkPath),
  mode: optional(checkSwitch),
});

/** @throws InvalidOptionError */
export function checkSwitch(option: string, mode: unknown): ModeSwitch {
  return checkChoice(option, mode, ["shadow", "off"]);
}

/**
 * What the environment says, if there is one. A mistyped switch must throw: if it were ignored, an operator would believe
 * that it works.
 */
export function switchOfEnvironment(): ModeSwitch | undefined {
  const mode = typeof process === "object" ? process.env?.["SLUICE_MODE"] : undefined;
  if (mode === undefined || mode === "" || mode === "enforce") return undefined;
  return checkSwitch("SLUICE_MODE", mode);
}

/** Whether it is to be followed; a document is not. */
export function isPolicySource(source: unknown): source is PolicySource {
  return typeof (source as Partial<PolicySource> | undefined)?.look === "function";
}

/** @throws InvalidOptionError */
function checkSource(option: string, source: unknown): PoliciesDocument | PolicySource {
  if (isPolicySource(source) || hasField(source, "rules")) return source as PolicySource;
  const allowed = "a document of policies, new PoliciesFile(...) or new PublishedPolicies(...)";
  const hint = typeof source === "string" ? "pass new PoliciesFile({ path })" : undefined;
  throw new InvalidOptionError(option, withoutText(source), allowed, { hint });
}
