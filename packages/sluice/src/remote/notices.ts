/**
 * What a service announces: that a waiter was handed a permit, that a document changed. One request at a time waits for it;
 * another one replaces it when there is more to watch. Notices are hints: if they cannot arrive, waiters poll.
 */
import { atEndOfTick, startTimer, type Timer } from "../core/clock.js";
import { randomName } from "../core/digest.js";
import { pauseMsAfter } from "../core/pause.js";
import type { DocumentWatch } from "../stores/document-store.js";
import {
  type Listening,
  type NotificationListener,
  ownerOf,
  type SemaphoreKey,
} from "../stores/semaphore-store.js";
import type { Requests } from "./requests.js";
import {
  type Notice,
  type NoticeChange,
  type NoticesAnswer,
  type NoticesRequest,
  STORE_PROTOCOL,
} from "./wire.js";

/** How long a request waits for notices before another one replaces it. */
const HOLD_MS = 20_000;
const SESSION_BYTES = 16;

interface Listener {
  readonly key: SemaphoreKey;
  readonly listener: NotificationListener;
  isLive: boolean;
}

/** A change with its number in the session. */
interface NumberedChange {
  readonly number: number;
  readonly change: NoticeChange;
}

export class Notices {
  readonly #requests: Requests;
  readonly #listeners = new Map<string, Listener>();
  readonly #hints = new Map<string, Set<() => void>>();
  #session = "";
  #turn = 0;
  #ack = 0;
  #changed = 0;
  /** Changes that the service has not confirmed. */
  #changes: readonly NumberedChange[] = [];
  /** Ends the request that waits; undefined if none does. */
  #waiting: AbortController | undefined;
  #isScheduled = false;
  #failures = 0;
  #pause: Timer | undefined;
  #isClosed = false;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  listen(key: SemaphoreKey, listener: NotificationListener): Listening {
    const { owner } = listener;
    const own: Listener = { key, listener, isLive: false };
    this.#listeners.set(owner, own);
    this.#change(["listen", key.keyspace, key.id, owner]);
    return {
      isLive: () => own.isLive,
      missed: () => {
        if (this.#listeners.get(owner) !== own || !own.isLive) return;
        own.isLive = false;
        this.#change(["missed", owner]);
      },
      end: () => {
        own.isLive = false;
        if (this.#listeners.get(owner) !== own) return;
        this.#listeners.delete(owner);
        this.#change(["end", owner]);
      },
    };
  }

  watch(name: string, hint: () => void): DocumentWatch {
    const hints = this.#hints.get(name) ?? new Set();
    // A new function, so that two watches of one caller do not end each other.
    const own = (): void => hint();
    hints.add(own);
    if (hints.size === 1) {
      this.#hints.set(name, hints);
      this.#change(["watch", name]);
    }
    return {
      end: () => {
        if (!hints.delete(own) || hints.size > 0 || this.#hints.get(name) !== hints) return;
        this.#hints.delete(name);
        this.#change(["unwatch", name]);
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#listeners.clear();
    this.#hints.clear();
  }

  get #isWanted(): boolean {
    return !this.#isClosed && (this.#listeners.size > 0 || this.#hints.size > 0);
  }

  #change(change: NoticeChange): void {
    if (this.#isClosed) return;
    this.#changed += 1;
    this.#changes = [...this.#changes, { number: this.#changed, change }];
    // While the service is away, wishes wait, and are sent when it is back.
    if (this.#pause === undefined) this.#schedule();
  }

  /** Asks at the end of the tick, so that what changes together goes together. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    atEndOfTick(() => {
      this.#isScheduled = false;
      if (this.#isWanted) void this.#ask();
      else this.#stop();
    });
  }

  #stop(): void {
    this.#waiting?.abort();
    this.#waiting = undefined;
    this.#pause?.cancel();
    this.#pause = undefined;
    this.#session = "";
    this.#changes = [];
  }

  /** Everything that is wanted, as the changes of a new session. */
  #begin(): void {
    this.#session = randomName(SESSION_BYTES);
    this.#turn = 0;
    this.#ack = 0;
    this.#changes = [];
    this.#changed = 0;
    const add = (change: NoticeChange): void => {
      this.#changed += 1;
      this.#changes = [...this.#changes, { number: this.#changed, change }];
    };
    for (const [owner, { key }] of this.#listeners) add(["listen", key.keyspace, key.id, owner]);
    for (const name of this.#hints.keys()) add(["watch", name]);
  }

  async #ask(): Promise<void> {
    if (this.#session === "") this.#begin();
    this.#turn += 1;
    const session = this.#session;
    const changes = this.#changes.map(({ change }) => change);
    const from = this.#changes[0]?.number ?? this.#changed + 1;
    const notices: NoticesRequest = { session, turn: this.#turn, ack: this.#ack, from, changes };
    const body = JSON.stringify({ v: STORE_PROTOCOL, within: HOLD_MS, notices });
    const waiting = new AbortController();
    this.#waiting = waiting;
    const { signal } = waiting;
    try {
      const said = await this.#requests.post(body, { timeoutMs: HOLD_MS, isTrip: false, signal });
      const answer = (said as { notices?: NoticesAnswer }).notices;
      // A later request waits already: what this one was told, that one is told too.
      if (this.#waiting !== waiting) return;
      if (answer === undefined || answer === "forgotten") this.#failed();
      else this.#answered(answer);
    } catch {
      if (this.#waiting === waiting) this.#failed();
    }
  }

  #answered({ applied, last, notices }: Exclude<NoticesAnswer, "forgotten">): void {
    this.#failures = 0;
    this.#ack = last;
    this.#changes = this.#changes.filter(({ number }) => number > applied);
    this.#waiting = undefined;
    this.#schedule();
    for (const notice of notices) this.#tell(notice);
  }

  #tell(notice: Notice): void {
    switch (notice[0]) {
      case "wake": {
        const [, id, fence, untilUs] = notice;
        this.#listeners.get(ownerOf(id))?.listener.notified({ id, fence, untilUs });
        break;
      }
      case "live": {
        const listener = this.#listeners.get(notice[1]);
        if (listener === undefined) break;
        listener.isLive = true;
        listener.listener.live();
        break;
      }
      case "quiet": {
        const listener = this.#listeners.get(notice[1]);
        if (listener !== undefined) listener.isLive = false;
        break;
      }
      case "document":
        for (const hint of this.#hints.get(notice[1]) ?? []) hint();
    }
  }

  /** No notice arrives, until a new session begins. */
  #failed(): void {
    this.#waiting = undefined;
    this.#session = "";
    for (const listener of this.#listeners.values()) listener.isLive = false;
    if (!this.#isWanted) {
      this.#stop();
      return;
    }
    this.#failures += 1;
    this.#pause = startTimer(pauseMsAfter(this.#failures), () => {
      this.#pause = undefined;
      this.#schedule();
    });
    // Waiters have their own timers; a watched document keeps no process alive.
    this.#pause.unref();
  }
}
