/** Options of a dashboard, and their checks. */
import { InvalidOptionError, type RateLimiter, type Semaphore, type Store } from "sluice";
import { PolicySet } from "sluice/policies";
import { didYouMean } from "../did-you-mean.js";
import type { AdminMessage } from "./audit.js";

/** What a visitor may do: see, or change as well. */
export type DashboardAccess = "none" | "read" | "admin";

/** Who asks, as the app knows it. */
export interface DashboardVisitor {
  /** What they may do. */
  readonly access: DashboardAccess;
  /** A name for the record of changes; never a secret. Default: none. */
  readonly who?: string | undefined;
}

/** Options of `dashboard`. */
export interface DashboardOptions {
  /** The rules that are shown and changed. */
  readonly policies: PolicySet;
  /** Limiters of this process besides, whose counts are shown; default none. */
  readonly limiters?: readonly RateLimiter[] | undefined;
  /** Semaphores of this process: their counts are shown, and the permits of a key can be listed and ended. Default none. */
  readonly semaphores?: readonly Semaphore[] | undefined;
  /** The store of the reports of all processes; default: the store of `policies`. */
  readonly store?: Store | undefined;
  /** The name of the report; default "sluice". */
  readonly report?: string | undefined;
  /** Whether the dashboard reports what this process counts; false if the app calls `report` itself. Default true. */
  readonly reports?: boolean | undefined;
  /** What the page is of, such as "edge, production"; default: the namespace of `policies`. */
  readonly name?: string | undefined;
  /** Who may do what, by the app's own login. This, or `token`, or both: without either there is no dashboard. */
  readonly auth?:
    | ((
        request: Request,
      ) => DashboardAccess | DashboardVisitor | Promise<DashboardAccess | DashboardVisitor>)
    | undefined;
  /** For a login on the page: a token of 16 characters or more that may read; or one for each right. */
  readonly token?:
    | string
    | { readonly read?: string | undefined; readonly admin?: string | undefined }
    | undefined;
  /** A label to be shown beside an id; default: nothing. */
  readonly label?: ((id: string) => string | undefined) | undefined;
  /** Attempts of this process that are remembered for "try a change" and "last calls": 0 to 1,000,000; default 50,000. */
  readonly attempts?: number | undefined;
  /** true: browsers send the cookie over HTTPS alone. Default: if the request came over HTTPS, as far as that can be seen. */
  readonly secure?: boolean | undefined;
  /** Hears of each change that was made on the page; so does the channel `sluice:admin`. */
  readonly onChange?: ((change: AdminMessage) => unknown) | undefined;
  /** Called for an error while answering: the page does not show it. */
  readonly onError?: ((error: unknown) => unknown) | undefined;
}

const NAMES: ReadonlySet<string> = new Set([
  "policies",
  "limiters",
  "semaphores",
  "store",
  "report",
  "reports",
  "name",
  "auth",
  "token",
  "label",
  "attempts",
  "secure",
  "onChange",
  "onError",
] satisfies (keyof DashboardOptions)[]);

const MOST_ATTEMPTS = 1e6;
const LONGEST_NAME = 100;

/** `hasDoor`: whether visitors can log in. @throws InvalidOptionError */
export function checkDashboardOptions(
  options: DashboardOptions,
  hasDoor = options.token !== undefined,
): DashboardOptions {
  const refuse = (option: string, allowed: string): never => {
    throw new InvalidOptionError(option, undefined, allowed);
  };
  const unknown = Object.keys(options).find((name) => !NAMES.has(name));
  if (unknown !== undefined) {
    const allowed = `only these options: ${[...NAMES].join(", ")}`;
    refuse(unknown, allowed + didYouMean(unknown, [...NAMES]));
  }
  const { policies, name, attempts = 0, label, auth, onChange, onError } = options;
  if (!(policies instanceof PolicySet)) refuse("policies", "a PolicySet");
  if (name !== undefined && (typeof name !== "string" || name.length > LONGEST_NAME)) {
    refuse("name", `text of at most ${LONGEST_NAME} characters`);
  }
  if (!Number.isInteger(attempts) || attempts < 0 || attempts > MOST_ATTEMPTS) {
    refuse("attempts", `a whole number from 0 to ${MOST_ATTEMPTS}`);
  }
  for (const [option, hook] of Object.entries({ label, auth, onChange, onError })) {
    if (hook !== undefined && typeof hook !== "function") refuse(option, "a function");
  }
  if (auth === undefined && !hasDoor) {
    refuse("auth", "auth, or token: without either everybody could see and change limits");
  }
  return options;
}
