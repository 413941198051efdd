/** What happens in the service, in the log: changes of the document, and outages of the store. */
import type { PolicySet } from "sluice/policies";
import { errorText, type ServiceLog } from "./log.js";

/** Of a set that is open already: what kept it from its source, if a copy on disk was used, is logged too. */
export function noteChanges(rules: PolicySet, log: ServiceLog): void {
  const { events } = rules;
  const { stale } = rules.status();
  if (stale !== undefined) {
    log.warn("policies are of the copy on disk", { why: errorText(stale) });
  }
  events.on("rules", ({ before, after, by, changes }) => {
    const [only] = changes;
    if (changes.length === 1 && only?.part === "setting" && only.name === "mode") {
      log.info("mode changed", { before: String(only.before), after: String(only.after), by });
      return;
    }
    log.info("policies changed", {
      before: before === undefined ? undefined : String(before),
      after: String(after),
      by,
      changes: changes.length,
    });
  });
  events.on("reload", ({ outcome, error }) => {
    if (error === undefined) log.info("policies read", { outcome });
    else log.warn("policies not taken", { outcome, why: errorText(error) });
  });
}

interface OutageHooks {
  readonly onError: (event: { readonly error: unknown }) => void;
  readonly onRecovery: () => void;
}

/** Of a store: once per outage, for all its users. */
export function outageHooks(log: ServiceLog): OutageHooks {
  return {
    onError({ error }) {
      log.warn("store fails", { why: errorText(error) });
    },
    onRecovery() {
      log.info("store is back");
    },
  };
}
