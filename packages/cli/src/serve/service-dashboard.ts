/** The dashboard of the service: for holders of a token that may read. */
import { randomBytes } from "node:crypto";
import type { Store } from "sluice";
import type { PolicySet } from "sluice/policies";
import { type Dashboard, openDashboard } from "../dashboard/dashboard.js";
import type { LentSemaphores } from "../dashboard/permits.js";
import { type Door, doorOf } from "../dashboard/tokens-door.js";
import type { AdminMessage } from "../dashboard/audit.js";
import { errorText, type ServiceLog } from "./log.js";
import type { ServiceSettings } from "./settings.js";
import type { Tokens } from "./tokens.js";

export interface ServiceDashboard {
  readonly board: Dashboard;
  /** The one token for it, of a service without tokens. */
  readonly token: string | undefined;
}

interface DashboardParts {
  readonly settings: ServiceSettings;
  readonly log: ServiceLog;
  readonly store: Store;
  readonly rules: PolicySet;
  readonly tokens: Tokens;
}

const TOKEN_BYTES = 24;
const LONGEST = 500;

interface OwnDashboardParts {
  /** Who may see it, instead of those with tokens. */
  readonly door?: Door;
  readonly label?: (id: string) => string | undefined;
  readonly lent: () => LentSemaphores | undefined;
}

/** Undefined if there is to be none. */
export function serviceDashboard(
  parts: DashboardParts,
  own: OwnDashboardParts,
): ServiceDashboard | undefined {
  const { settings, log, store, rules: policies, tokens } = parts;
  const { dashboard: whether, namespace } = settings;
  if (whether === "off" || (whether === undefined && !tokens.areAsked)) return undefined;
  const isByToken = !tokens.areAsked && own.door === undefined;
  const token = isByToken ? randomBytes(TOKEN_BYTES).toString("base64url") : undefined;
  const door = own.door ?? (token === undefined ? doorOfTokens(tokens) : doorOf({ admin: token }));
  const options = {
    policies,
    store,
    report: namespace,
    label: own.label,
    onChange: (change: AdminMessage) => {
      tell(change, log);
    },
    onError: (error: unknown) => {
      log.error("the dashboard failed", { why: errorText(error) });
    },
  };
  return { board: openDashboard(options, door, own.lent), token };
}

/** Holders of tokens may what their scopes say, as long as the list has them. */
function doorOfTokens(tokens: Tokens): Door {
  return {
    enter(token) {
      const holder = tokens.holderOf(`Bearer ${token}`);
      if (holder === undefined) return undefined;
      return {
        who: holder.name,
        access() {
          const scopes = tokens.scopesOf(holder);
          if (scopes?.has("admin") === true) return "admin";
          return scopes?.has("read") === true ? "read" : undefined;
        },
      };
    },
  };
}

function tell(
  { who, action, target, before, after, comment }: AdminMessage,
  log: ServiceLog,
): void {
  log.info("changed on the dashboard", {
    who,
    action,
    target,
    before: shown(before),
    after: shown(after),
    comment,
  });
}

function shown(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value).slice(0, LONGEST);
}
