/** What happens in the service, in the log: changes of the document, and outages of the store. */
import type { PolicySet } from "sluice/policies";
import { errorText, type ServiceLog } from "./log.js";

export function noteChanges({ events }: PolicySet, log: ServiceLog): void {
  events.on("rules", ({ before, after, by, changes }) => {
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

/** Of a store: once an outage, whoever met it. */
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
