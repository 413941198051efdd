/**
 * Audits the logs of a semaphore: a permit is held from its fence, which is the store's time of the grant, to the earlier
 * of its release and the end of its lease. At no moment may more than the limit be held, and permits must have been given
 * in the order of the tickets.
 */
import { rowsByGroup, rowsByTime, type Rows, type RowsByTime } from "./columns.js";
import type { Hold } from "./holds.js";
import type { SemaphoreLog } from "./semaphore-log.js";

/** What an audit found for one key of a semaphore. */
export interface SemaphoreKeyReport {
  /** The key, or its id. */
  readonly key: string;
  /** Whether every promise held. */
  readonly passed: boolean;
  /** How many permits were granted. */
  readonly grants: number;
  /** The most weight that was held at once. */
  readonly most: number;
  /** When that began: µs since the epoch, by the store's clock. */
  readonly mostAtUs: number;
  /** The first grant that went before an earlier ticket. */
  readonly outOfOrder: Hold | undefined;
  /** Permits that were not released but ended with their lease, or with a process that was killed. */
  readonly unreleased: number;
}

/** What an audit of a semaphore's logs found. */
export interface SemaphoreAuditReport {
  /** Whether every promise held. */
  readonly passed: boolean;
  /** The logs that were read. */
  readonly files: readonly string[];
  /** The semaphore's limit. */
  readonly limit: number;
  /** How many permits were granted. */
  readonly grants: number;
  /** Waits that ended without a permit, as they were logged. */
  readonly denied: number;
  /** Calls that failed. */
  readonly failed: number;
  /** The store's time of the first record: µs since the epoch. */
  readonly fromUs: number;
  /** The store's time of the last record: µs since the epoch. */
  readonly toUs: number;
  /** What was found for each key. */
  readonly keys: readonly SemaphoreKeyReport[];
}

export function auditSemaphore({
  files,
  limit,
  holds,
  denied,
  failed,
}: SemaphoreLog): SemaphoreAuditReport {
  let fromUs = Number.POSITIVE_INFINITY;
  let toUs = 0;
  for (const hold of holds) {
    fromUs = Math.min(fromUs, hold.fence);
    toUs = Math.max(toUs, endOf(hold));
  }
  const keys: SemaphoreKeyReport[] = [];
  const groups = rowsByGroup(holds.length, holds.keys.length, (row) => holds.keyNumber(row));
  for (const { group, rows } of groups) {
    const its = { length: rows.length, at: (i: number) => holds.at(rows[i] ?? holds.length) };
    keys.push(auditKey(holds.keys[group] as string, its, limit));
  }
  const passed = keys.every((key) => key.passed);
  return { passed, files, limit, grants: holds.length, denied, failed, fromUs, toUs, keys };
}

/** A release that was sent, but of whose answer nothing is known, may have come at once. */
function endOf({ untilUs, surelyUs, isReleasing, releasedAtUs }: Hold): number {
  if (releasedAtUs !== undefined) return Math.min(releasedAtUs, untilUs);
  return isReleasing ? Math.min(surelyUs, untilUs) : untilUs;
}

function auditKey(key: string, holds: Rows<Hold>, limit: number): SemaphoreKeyReport {
  let lastTicket = 0;
  let outOfOrder: Hold | undefined;
  let unreleased = 0;
  const begins = rowsByTime(holds, ({ fence }) => fence);
  for (const row of begins.rows) {
    const hold = holds.at(row) as Hold;
    if (hold.releasedAtUs === undefined) unreleased += 1;
    // 0: its process never learned it.
    if (hold.ticket === 0) continue;
    if (hold.ticket <= lastTicket) outOfOrder ??= hold;
    else lastTicket = hold.ticket;
  }
  const { most, mostAtUs } = mostHeld(holds, begins);
  return {
    key,
    passed: most <= limit && outOfOrder === undefined,
    grants: holds.length,
    most,
    mostAtUs,
    outOfOrder,
    unreleased,
  };
}

function mostHeld(holds: Rows<Hold>, begins: RowsByTime): { most: number; mostAtUs: number } {
  // A fence may be a few µs past the grant if several came in one.
  const ends = rowsByTime(holds, (hold) => Math.max(hold.fence, endOf(hold)));
  const weightOf = (row: number): number => (holds.at(row) as Hold).weight;
  let held = 0;
  let most = 0;
  let mostAtUs = 0;
  let ended = 0;
  for (const row of begins.rows) {
    const atUs = begins.times[row] as number;
    // Intervals are half open: what ends at a moment makes room for what begins at it.
    for (; ended < ends.rows.length; ended++) {
      const end = ends.rows[ended] as number;
      if ((ends.times[end] as number) > atUs) break;
      held -= weightOf(end);
    }
    held += weightOf(row);
    if (held <= most) continue;
    most = held;
    mostAtUs = atUs;
  }
  return { most, mostAtUs };
}
