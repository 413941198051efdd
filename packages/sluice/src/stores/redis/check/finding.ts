/** What `store.check()` finds: values, each with the page of the documentation that says more. */

/** "ok" = as it should be; "note" = good to know; "warning" = limits can be off, or late; "error" = calls fail. */
export type FindingSeverity = "ok" | "note" | "warning" | "error";

/** The page that explains each finding, by its id. */
export const FINDING_PAGES = {
  connection: "docs/redis.md#connecting",
  server: "docs/redis.md#servers",
  eviction: "docs/redis.md#eviction",
  memory: "docs/redis.md#memory",
  permissions: "docs/redis.md#commands-needed-acl",
  "permissions-semaphore": "docs/semaphore.md#keys-and-permissions",
  "permissions-messages": "docs/semaphore.md#keys-and-permissions",
  "permissions-overrides": "docs/live-limits.md#in-all-processes",
  "permissions-reports": "docs/watch.md#report-to-everyone",
  "permissions-client-name": "docs/redis.md#commands-needed-acl",
  "permissions-cluster": "docs/redis.md#commands-needed-acl",
  clock: "docs/redis.md#clocks-and-round-trips",
  "round-trip": "docs/redis.md#clocks-and-round-trips",
  role: "docs/redis.md#sentinel",
  replicas: "docs/redis.md#sentinel",
  persistence: "docs/redis.md#what-happens-when-redis-fails",
  scripts: "docs/redis.md#clocks-and-round-trips",
  cluster: "docs/redis.md#cluster",
  messages: "docs/semaphore.md#how-it-works",
  client: "docs/redis.md#client-options",
  unchecked: "docs/redis.md#check-your-servers",
} as const satisfies Readonly<Record<string, string>>;

/** Names a finding; the table in docs/redis.md has them all. */
export type FindingId = keyof typeof FINDING_PAGES;

/** One thing that was checked, and the outcome. */
export interface StoreFinding {
  /** Which finding it is; stable, for programs to compare with. */
  readonly id: FindingId;
  /** How much it matters. */
  readonly severity: FindingSeverity;
  /** A sentence or two, without passwords: what was found, and what to do about it. */
  readonly text: string;
  /** The page and section that explain it, such as "docs/redis.md#eviction". */
  readonly page: string;
  /** "host:port" if it is true of one node of a Cluster and not of all. */
  readonly node?: string | undefined;
}

/** A finding before its page is added. */
export function finding(id: FindingId, severity: FindingSeverity, text: string): StoreFinding {
  return { id, severity, text, page: FINDING_PAGES[id] };
}
