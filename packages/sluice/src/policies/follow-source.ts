/** What follows the source of a PolicySet. */
import { monotonicMs, systemClock } from "../core/clock.js";
import type { Store } from "../stores/store.js";
import { DocumentCache } from "./document-cache.js";
import { nodeFiles } from "./node-files.js";
import type { ClockReading, PolicySource } from "./policy-source.js";
import { type FollowerOptions, SourceFollower } from "./source-follower.js";

/** How a source is followed. */
interface Following extends Pick<FollowerOptions, "everyMs" | "patienceMs"> {
  /** The path of the last good copy; undefined = none is kept. */
  readonly cachePath: string | undefined;
}

/** The set that follows. */
interface FollowingSet extends Pick<FollowerOptions, "time" | "apply" | "reported"> {
  readonly name: string;
}

/** A follower that goes by the clock of the set's store, if neither the source nor this process has one. */
export function followerOf(
  source: PolicySource,
  { everyMs, patienceMs, cachePath }: Following,
  { documents, clock }: Store,
  { name, ...set }: FollowingSet,
): SourceFollower {
  const cache =
    cachePath === undefined ? undefined : new DocumentCache(nodeFiles("cacheFile"), cachePath);
  const askTime = async (): Promise<ClockReading> => {
    const sentMs = monotonicMs();
    const head = await documents?.head(name, 0);
    return { thereUs: head?.nowUs ?? 0, hereMs: (sentMs + monotonicMs()) / 2 };
  };
  const saysTime = source.heardUs !== undefined || clock !== undefined;
  return new SourceFollower({
    source,
    clock: clock ?? systemClock,
    everyMs,
    patienceMs,
    cache,
    askTime: saysTime || documents === undefined ? undefined : askTime,
    ...set,
  });
}
