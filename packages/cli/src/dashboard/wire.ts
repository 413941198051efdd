/**
 * What the page and the server say to each other: the shapes alone, so that both are checked against one text.
 *
 * Addresses are relative to the page's own, with a slash at its end: a page at `/admin` or `/admin/` asks
 * `/admin/api/state`. All times are ms since the epoch by the store's clock, all rates are counted a second.
 */
import type { PoliciesDocument, PoliciesMode } from "sluice/policies";

/** What a visitor may do. */
export type Access = "read" | "admin";

/** Counts of one second, of all rules together or of one. */
export interface Counts {
  readonly asked: number;
  readonly allowed: number;
  readonly denied: number;
  /** Allowed, and a tenth of the limit or less was left. */
  readonly near: number;
  /** Of those asked: decided without the store. */
  readonly withoutStore: number;
  /** Would have been denied by a rule or a limit that is only tried. */
  readonly shadowDenied: number;
}

/**
 * `GET api/state?since=N`: polled each second. 401 without access, with `DashboardProblem` as every answer that is not 2xx.
 * Its field ETag may be given back as If-None-Match: 304, without a body, if nothing has changed but `nowMs`.
 */
export interface DashboardState {
  /** Give it back as `since`; a page that gives none, or one too old, gets the whole quarter of an hour. */
  readonly next: number;
  /** Whether `seconds` continue what the page had, rather than start again. */
  readonly isContinued: boolean;
  readonly nowMs: number;
  /** What this dashboard is of, as its owner named it. */
  readonly name: string;
  readonly visitor: Visitor;
  readonly scope: NumbersScope;
  readonly policies: PoliciesState;
  /**
   * One entry a second, the oldest first. `spanMs` is the time from one look at the reports to the next: about 1,000, and
   * more if the store was away; 60,000, or less, for the minutes before a page was open. Rates are counts by it.
   */
  readonly seconds: readonly Second[];
  /** Over the last minute, in the document's order; of more than 512 rules those that are asked most. */
  readonly rules: readonly RuleState[];
  /** How many there are. */
  readonly rulesTotal: number;
  /** The ids that were denied most in this minute and the one before, the most denied first; 100 at most. */
  readonly topDenied: readonly DeniedKey[];
  readonly stores: readonly StoreState[];
  readonly semaphores: readonly SemaphoreState[];
  /** The newest first; 50 at most. */
  readonly changes: readonly Change[];
  /** For `try`: what is remembered of single attempts. */
  readonly attempts: {
    readonly count: number;
    readonly fromMs: number | undefined;
    readonly isWhole: boolean;
  };
}

export interface Visitor {
  readonly access: Access;
  /** Who it is, for the record of changes: the name of the token, or what the app says; never a secret. */
  readonly who: string;
  /** Whether there is a session to end. */
  readonly canLogOut: boolean;
}

/** Whose numbers these are. */
export interface NumbersScope {
  readonly kind: "all-processes" | "this-process";
  readonly store: string;
  readonly reporting: number;
  /** Stopped without a word within the last hour. */
  readonly silent: number;
  /** Counts that came late or are lost. */
  readonly gaps: number;
  /** Why the numbers are old, if they are: the store cannot be asked. */
  readonly stale: { readonly sinceMs: number; readonly why: string } | undefined;
}

export interface PoliciesState {
  readonly version: number | string;
  /** The switch over all rules. */
  readonly mode: PoliciesMode;
  readonly source: "file" | "published" | "value";
  /** Whether a change on the page reaches every process: it is published in the store. */
  readonly isPublished: boolean;
  readonly stale: { readonly why: string; readonly forMs: number } | undefined;
  readonly scheduled: readonly { readonly version: number | string; readonly atMs: number }[];
}

export interface Second extends Counts {
  readonly fromMs: number;
  readonly spanMs: number;
}

export interface RuleState {
  readonly rule: string;
  /** Short, as `describe` words it: "100 per 1 min, burst 200". */
  readonly limit: string;
  /** What an override may set of it; undefined if it is not a rule of the document. */
  readonly fields: readonly OverrideField[] | undefined;
  readonly mode: PoliciesMode;
  /** Of keys for which it is enforced: 0 to 100. */
  readonly percent: number;
  /** A second, over the last minute. */
  readonly perSecond: Counts;
  /** Ids that were denied in this minute or the one before; "at least" beyond what is counted one by one. */
  readonly limitedKeys: { readonly count: number; readonly isAtLeast: boolean };
  readonly candidate: { readonly limit: string; readonly deniedPerSecond: number } | undefined;
}

export interface OverrideField {
  /** As a policy calls it: "limit", "period", "burst", … */
  readonly name: string;
  /** What the rule has there, as text: "200", "1m"; undefined if it leaves it out. */
  readonly own?: string | undefined;
  /** What it is if nobody sets it: "the limit", "1". */
  readonly otherwise?: string | undefined;
}

export interface DeniedKey {
  readonly rule: string;
  readonly id: string;
  /** The app's label for the id; undefined if it has none. */
  readonly label: string | undefined;
  readonly atLeast: number;
  readonly atMost: number;
}

export interface StoreState {
  readonly name: string;
  /** Of a store inside the process; undefined for any other. `evictions` are keys that were dropped to make room. */
  readonly memory:
    | { readonly keys: number; readonly bytes: number; readonly evictions: number }
    | undefined;
  /** "store" for a single one; of a Cluster an address or a range of slots each. Half-open: a call tries it now. */
  readonly parts: readonly {
    readonly part: string;
    readonly breaker: "closed" | "open" | "half-open";
  }[];
  /** Of the process that serves the page, over the last minute; undefined for a store inside the process. */
  readonly callsPerSecond: number | undefined;
  readonly batchMean: number | undefined;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly errorsPerSecond: number;
  /** The newest first. */
  readonly outages: readonly Outage[];
}

export interface Outage {
  readonly fromMs: number;
  /** Undefined while it lasts. */
  readonly toMs: number | undefined;
  /** How callers were answered during it: "local", "open", "closed", "fallback", "throw"; several with commas between. */
  readonly answered: string;
  /** How many calls that were; undefined while it lasts. */
  readonly calls?: number | undefined;
}

export interface SemaphoreState {
  readonly semaphore: string;
  readonly limit: number | undefined;
  /** Undefined if clients hold the permits by tickets: only the list of a key says how many. */
  readonly held: number | undefined;
  readonly waiting: number;
  readonly lost: number;
  /** Whether the process that serves the page has it, so that the permits of a key can be listed and ended. */
  readonly canList?: boolean | undefined;
}

/** One key of a semaphore. */
export interface PermitsAsked {
  readonly semaphore: string;
  readonly key: string;
  readonly slot?: string | undefined;
}

/** The 100 permits that were given first, the first 100 in line, and how many there are. */
export interface PermitsListed {
  readonly limit: number;
  readonly held: number;
  readonly waiting: number;
  readonly holders: readonly {
    readonly fencingToken: string;
    readonly weight: number;
    readonly sinceMs: number;
    readonly untilMs: number;
  }[];
  readonly waiters: readonly { readonly weight: number; readonly sinceMs: number }[];
}

/** One change of the document, the switch, a key: for the list, and for the markers of the chart. */
export interface Change {
  readonly id: string;
  readonly atMs: number;
  readonly who: string | undefined;
  readonly kind: "policies" | "mode" | "override" | "block" | "unblock" | "reset";
  /** Of the document after it; undefined if that did not change. */
  readonly version: number | string | undefined;
  /** One line; "" if this process does not know what the version changed. */
  readonly text: string;
  readonly comment: string | undefined;
  /** Whether the document of `version` can be put in force again: it is kept, and is not in force now. */
  readonly canRollBack: boolean;
}

/**
 * The rest is POST with JSON both ways. Those that change something want `admin`, and what they change is in `changes`.
 *
 * | address | body | answer |
 * | `api/login` | `LogIn` | 204, and a cookie |
 * | `api/logout` | `{}` | 204 |
 * | `api/lookup` | `LookUp` | `LookedUp` |
 * | `api/key` | `KeyChange` | `LookedUp` |
 * | `api/mode` | `{ mode: "shadow" \| "off" \| null }` | 204 |
 * | `api/document` (GET) | | `DocumentText` |
 * | `api/versions` (GET) | | `{ versions: Version[] }`, the newest first |
 * | `api/diff` | `Diff` | `{ lines: string[] }` |
 * | `api/try` | `Try` | `Tried` |
 * | `api/publish` | `Publish` | `{ version }`; 409 if the document has changed since `base` |
 * | `api/permits` | `PermitsAsked` | `PermitsListed` |
 * | `api/endpermits` | `PermitsAsked` and `comment?` | `{ ended }` |
 * | `api/rollback` | `{ to: version, base: version, comment?: string }` | `{ version }` |
 */
/** From one version to another, or to a text that is edited. */
export interface Diff {
  /** Default: of a `text` the one in force, else the one before `to`. */
  readonly from?: number | string | undefined;
  readonly to?: number | string | undefined;
  readonly text?: string | undefined;
}

/** A page that is opened at `#token=…` logs in with it and takes it out of its address; no server is sent a fragment. */
export interface LogIn {
  readonly token: string;
}

/** What a request says of itself; or, of one rule, an id from `topDenied`. */
export interface LookUp {
  readonly entries?: Readonly<Record<string, string>> | undefined;
  readonly id?: string | undefined;
  readonly rule?: string | undefined;
  readonly plan?: string | undefined;
}

export interface LookedUp {
  /** Those that match, then others: 100 at most. */
  readonly rules: readonly LookedUpRule[];
}

export interface LookedUpRule {
  readonly rule: string;
  readonly matches: boolean;
  /** Why it does not match, or what it does: one line. */
  readonly text: string;
  readonly id: string | undefined;
  readonly label: string | undefined;
  /** What a call would get now. */
  readonly now:
    | {
        readonly allowed: boolean;
        /** null: without a limit. */
        readonly remaining: number | null;
        readonly limit: number | null;
        /** null: never. */
        readonly retryAfterMs: number | null;
        readonly resetAfterMs: number | null;
        readonly reason: string;
        readonly source: string;
      }
    | undefined;
  readonly override:
    | {
        readonly kind: "policy" | "deny" | "exempt";
        readonly limit: string | undefined;
        readonly untilMs: number | undefined;
        readonly comment: string | undefined;
      }
    | undefined;
  readonly isBlocked: boolean;
  /** The last calls of this key that this process saw, the newest first; 20 at most. */
  readonly last: readonly {
    readonly atMs: number;
    readonly allowed: boolean;
    readonly reason: string;
  }[];
}

/** Change what one key of one rule gets. `id` names a key of which nothing else is known, from `topDenied`. */
export interface KeyChange {
  readonly rule: string;
  readonly entries?: Readonly<Record<string, string>> | undefined;
  readonly id?: string | undefined;
  readonly change: "block" | "unblock" | "reset" | "override" | "clear-override";
  /** Of a block: a duration as the library reads them, "15m". */
  readonly for?: string | undefined;
  /** Of an override: "deny", "exempt", or a policy as in a document. */
  readonly override?: unknown;
  readonly untilMs?: number | undefined;
  readonly comment?: string | undefined;
}

export interface DocumentText {
  readonly version: number | string;
  readonly document: PoliciesDocument;
  /** As `printPolicies` prints it. */
  readonly text: string;
}

export interface Version {
  readonly version: number | string;
  readonly who: string | undefined;
  readonly atMs: number;
  readonly comment: string | undefined;
}

export interface Try {
  /** The whole document, edited. */
  readonly text: string;
  /** How much of what is remembered is played: minutes, 1 to 15. */
  readonly minutes: number;
}

/** The same figures that `sluice simulate` prints of the same attempts. */
export interface Tried {
  readonly attempts: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly rules: readonly {
    readonly rule: string;
    readonly asked: number;
    /** As it was answered. */
    readonly deniedBefore: number;
    /** Under the edited document. */
    readonly deniedAfter: number;
    readonly newlyDenied: number;
    readonly newlyAllowed: number;
    readonly keysTouched: number;
  }[];
  /** Of the document. */
  readonly warnings: readonly string[];
  /** What the play leaves out, or cannot know. */
  readonly notes: readonly string[];
}

export interface Publish {
  readonly text: string;
  /** The version that was edited. */
  readonly base: number | string;
  readonly comment?: string | undefined;
  /**
   * "candidate": the edited limits are decided beside and not enforced; a number from 1 to 99: enforced for that percentage
   * of keys, by a rule `<name>.next` beside the one that was edited. Both take documents in which only rules' limits
   * differ.
   */
  readonly how: "now" | "candidate" | number;
}

/** Every answer that is not 2xx. */
export interface DashboardProblem {
  readonly status: number;
  readonly title: string;
  /** In words, for the visitor of the page. */
  readonly detail: string;
  /** Of a 401: whether there is a login by token. */
  readonly canLogIn?: boolean;
  /** Of a document that is not valid. */
  readonly problems?: readonly {
    readonly path: string;
    readonly line?: number;
    readonly message: string;
  }[];
}
