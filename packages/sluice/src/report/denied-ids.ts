/** The ids that were denied most, by limiter and policy: in this minute, and since the last report of it. */
import type { Identify } from "../core/identity.js";
import type { Events } from "../events/events.js";
import { OTHER_POLICIES } from "../limiter/counts.js";
import type { PolicyNames } from "./policy-names.js";
import { reportGroup } from "./tally.js";
import { type CountedKey, TopKeys } from "./top-keys.js";

/** A process writes no more ids for all policies together than for this many full ones. */
const MOST_FULL_POLICIES = 10;

/** Whose denials are counted: a limiter, or the rules of a set. */
export interface DenyingSource {
  readonly name: string;
  readonly events: Events;
  /** Whether the policy is counted under its own name. */
  readonly isKnown: (policy: string) => boolean;
  readonly idOf: Identify;
}

/** Ids of one policy of one limiter. */
class DeniedBy {
  minute: TopKeys;
  /** Denials since the last write: if that was the last of the minute, the next one begins with these. */
  since: TopKeys;

  constructor(most: number) {
    this.minute = new TopKeys(most);
    this.since = new TopKeys(most);
  }

  add(id: string): void {
    this.minute.add(id);
    this.since.add(id);
  }
}

/** What is written of one policy. */
export interface ListedIds {
  /** What an id that is not listed was denied at most. */
  readonly floor: number;
  readonly ids: readonly CountedKey[];
}

export class DeniedIds {
  readonly #most: number;
  readonly #names: PolicyNames;
  readonly #all = new Map<string, DeniedBy>();
  readonly #ends: readonly (() => void)[];

  /** Holds `most` ids a policy. */
  constructor(sources: readonly DenyingSource[], most: number, names: PolicyNames) {
    this.#most = most;
    this.#names = names;
    this.#ends = sources.map((source) => this.#listen(source));
  }

  end(): void {
    for (const end of this.#ends) end();
  }

  /** By group, what is sent now; all that is denied from here on comes after it. */
  list(): ReadonlyMap<string, ListedIds> {
    for (const denied of this.#all.values()) denied.since = new TopKeys(this.#most);
    return listed(this.#all, MOST_FULL_POLICIES * this.#most);
  }

  /** The minute has ended with what was last sent. */
  beginMinute(): void {
    for (const [group, denied] of this.#all) {
      if (denied.since.isEmpty) this.#all.delete(group);
      denied.minute = denied.since;
      denied.since = new TopKeys(this.#most);
    }
  }

  /** Only what is denied costs anything here. */
  #listen({ name, events, isKnown, idOf }: DenyingSource): () => void {
    return events.on("denial", ({ policy, key, slot }) => {
      const counted = isKnown(policy) ? policy : OTHER_POLICIES;
      const group = reportGroup("t", name, this.#names.of(name, counted));
      let denied = this.#all.get(group);
      if (denied === undefined) {
        denied = new DeniedBy(this.#most);
        this.#all.set(group, denied);
      }
      denied.add(idOf(key, slot));
    });
  }
}

/** Of all ids those that were denied most, no more than `most`. */
function listed(all: ReadonlyMap<string, DeniedBy>, most: number): ReadonlyMap<string, ListedIds> {
  const counted = [...all].map(([group, { minute }]) => ({
    group,
    floor: minute.floor,
    entries: minute.entries(),
  }));
  const counts = counted.flatMap(({ entries }) => entries.map(({ count }) => count));
  const left = counts.sort((a, b) => b - a)[most] ?? 0;
  return new Map(
    counted.map(({ group, floor, entries }) => {
      const ids = entries.filter(({ count }) => count > left);
      return [group, { ids, floor: Math.max(floor, entries[ids.length]?.count ?? 0) }];
    }),
  );
}
