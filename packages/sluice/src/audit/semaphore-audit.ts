/**
 * Audits the logs of a semaphore: a place is held from its fence, which is the store's time of the grant, to the
 * earlier of its release and the end of its lease. At no moment may more than the limit be held, and places must
 * have been given in the order of the tickets.
 */
import type { Hold, SemaphoreLog } from "./semaphore-log.js";

export interface SemaphoreKeyReport {
  readonly key: string;
  readonly passed: boolean;
  readonly grants: number;
  /** The most that was held at once, and when that began. */
  readonly most: number;
  readonly mostAtUs: number;
  /** The first grant that went before an earlier ticket. */
  readonly outOfOrder: Hold | undefined;
  /** Places that were not released but ended with their lease, or with a process that was killed. */
  readonly unreleased: number;
}

export interface SemaphoreAuditReport {
  readonly passed: boolean;
  readonly files: readonly string[];
  readonly limit: number;
  readonly grants: number;
  readonly denied: number;
  readonly failed: number;
  readonly fromUs: number;
  readonly toUs: number;
  readonly keys: readonly SemaphoreKeyReport[];
}

export function auditSemaphore({
  files,
  limit,
  holds,
  denied,
  failed,
}: SemaphoreLog): SemaphoreAuditReport {
  const byKey = new Map<string, Hold[]>();
  let fromUs = Number.POSITIVE_INFINITY;
  let toUs = 0;
  for (const hold of holds) {
    fromUs = Math.min(fromUs, hold.fence);
    toUs = Math.max(toUs, endOf(hold));
    const known = byKey.get(hold.key);
    if (known === undefined) byKey.set(hold.key, [hold]);
    else known.push(hold);
  }
  const keys = [...byKey].map(([key, its]) => auditKey(key, its, limit));
  const passed = keys.every((key) => key.passed);
  return { passed, files, limit, grants: holds.length, denied, failed, fromUs, toUs, keys };
}

/** A release that was sent, but of whose answer nothing is known, may have come at once. */
function endOf({ untilUs, surelyUs, isReleasing, releasedAtUs }: Hold): number {
  if (releasedAtUs !== undefined) return Math.min(releasedAtUs, untilUs);
  return isReleasing ? Math.min(surelyUs, untilUs) : untilUs;
}

function auditKey(key: string, holds: readonly Hold[], limit: number): SemaphoreKeyReport {
  const inOrder = [...holds].sort((a, b) => a.fence - b.fence);
  let lastTicket = 0;
  const outOfOrder = inOrder.find(({ ticket }) => {
    // 0: its process never learned it.
    if (ticket === 0) return false;
    if (ticket <= lastTicket) return true;
    lastTicket = ticket;
    return false;
  });
  const { most, mostAtUs } = mostHeld(holds);
  return {
    key,
    passed: most <= limit && outOfOrder === undefined,
    grants: holds.length,
    most,
    mostAtUs,
    outOfOrder,
    unreleased: holds.filter(({ releasedAtUs }) => releasedAtUs === undefined).length,
  };
}

function mostHeld(holds: readonly Hold[]): { most: number; mostAtUs: number } {
  const changes = holds.flatMap((hold) => [
    { atUs: hold.fence, weight: hold.weight },
    // A fence may be a few µs past the grant where several came in one.
    { atUs: Math.max(hold.fence, endOf(hold)), weight: -hold.weight },
  ]);
  // Intervals are half open: what ends at a moment makes room for what begins at it.
  changes.sort((a, b) => a.atUs - b.atUs || a.weight - b.weight);
  let held = 0;
  let most = 0;
  let mostAtUs = 0;
  for (const { atUs, weight } of changes) {
    held += weight;
    if (held <= most) continue;
    most = held;
    mostAtUs = atUs;
  }
  return { most, mostAtUs };
}
