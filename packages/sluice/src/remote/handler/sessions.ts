/** The processes that wait for notices of semaphores and documents, and what is kept for each until it has arrived. */
import { atEndOfTick, startTimer, type Timer } from "../../core/clock.js";
import { onAbort } from "../../core/abort.js";
import { documentsOf } from "../../policies/documents-in-memory.js";
import type { DocumentWatch } from "../../stores/document-store.js";
import type { Listening } from "../../stores/semaphore-store.js";
import type { Store } from "../../stores/store.js";
import type { Notice, NoticeChange, NoticesAnswer, NoticesRequest } from "../wire.js";
import {
  BadRequest,
  readList,
  readName,
  readObject,
  readString,
  readWhole,
  readWord,
} from "./bad-request.js";

const LONGEST_ID = 8194;
const MOST_CHANGES = 10_000;
/** What one process may wait for, and what is kept for it. A process that exceeds it is forgotten, and starts again. */
const MOST_OF_SESSION = 10_000;
const MOST_SESSIONS = 10_000;
/** A process that has not asked for this long is gone. */
const FORGOTTEN_MS = 30_000;
/** How often it is looked whether the store still notifies this service. */
const LOOK_MS = 1000;

/** @throws BadRequest */
export function readNotices(frame: unknown): NoticesRequest {
  const { session, turn, ack, from, changes } = readObject("notices", frame);
  const most = Number.MAX_SAFE_INTEGER;
  return {
    session: readWord("notices.session", session),
    turn: readWhole("notices.turn", turn, 1, most),
    ack: readWhole("notices.ack", ack, 0, most),
    from: readWhole("notices.from", from, 1, most),
    changes: readList("notices.changes", changes, MOST_CHANGES).map(readChange),
  };
}

function readChange(frame: unknown, i: number): NoticeChange {
  const what = `notices.changes[${i}]`;
  const [kind, first, id, owner] = readList(what, frame, 4);
  switch (kind) {
    case "listen":
      return [
        kind,
        readName(`${what}[1]`, first),
        readString(`${what}[2]`, id, LONGEST_ID, 1),
        readWord(`${what}[3]`, owner),
      ];
    case "missed":
    case "end":
      return [kind, readWord(`${what}[1]`, first)];
    case "watch":
    case "unwatch":
      return [kind, readName(`${what}[1]`, first)];
    default:
      throw new BadRequest(`${what}[0] must be listen, missed, end, watch or unwatch`);
  }
}

export class Sessions {
  readonly #store: Store;
  readonly #sessions = new Map<string, Session>();
  #isClosed = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Waits until there is a notice, for `withinMs` at most. */
  wait(
    request: NoticesRequest,
    withinMs: number,
    signal: AbortSignal | undefined,
  ): Promise<NoticesAnswer> {
    const { session: name, from } = request;
    let session = this.#sessions.get(name);
    if (session === undefined) {
      const isNew = from === 1 && this.#sessions.size < MOST_SESSIONS && !this.#isClosed;
      if (!isNew) return Promise.resolve("forgotten");
      session = new Session(this.#store, () => this.#sessions.delete(name));
      this.#sessions.set(name, session);
    }
    return session.wait(request, withinMs, signal);
  }

  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions.values()) session.end();
  }
}

class Session {
  readonly #store: Store;
  readonly #ended: () => void;
  readonly #listenings = new Map<string, { readonly listening: Listening; isLive: boolean }>();
  readonly #watches = new Map<string, DocumentWatch>();
  /** Notices that have not arrived as far as is known, from number `#last - #notices.length + 1` on. */
  #notices: Notice[] = [];
  #last = 0;
  #applied = 0;
  #turn = 0;
  /** Answers the request that waits. */
  #answer: (() => void) | undefined;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(store: Store, ended: () => void) {
    this.#store = store;
    this.#ended = ended;
  }

  wait(
    { turn, ack, from, changes }: NoticesRequest,
    withinMs: number,
    signal: AbortSignal | undefined,
  ): Promise<NoticesAnswer> {
    // Between the last change that was made and the first that came, some are lost.
    if (from > this.#applied + 1) {
      this.end();
      return Promise.resolve("forgotten");
    }
    this.#apply(from, changes);
    if (this.#isOver) return Promise.resolve("forgotten");
    const isLater = turn <= this.#turn;
    if (isLater) return Promise.resolve(this.#nothing(ack));
    this.#answer?.();
    this.#turn = turn;
    const known = this.#last - this.#notices.length;
    if (ack > known) this.#notices.splice(0, ack - known);
    return this.#hold(withinMs, signal);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#answer?.();
    for (const { listening } of this.#listenings.values()) listening.end();
    for (const watch of this.#watches.values()) watch.end();
    this.#listenings.clear();
    this.#watches.clear();
    this.#notices = [];
    this.#ended();
  }

  /** For a request that another one has overtaken: it is to lose no notice. */
  #nothing(ack: number): NoticesAnswer {
    return { applied: this.#applied, last: ack, notices: [] };
  }

  #hold(withinMs: number, signal: AbortSignal | undefined): Promise<NoticesAnswer> {
    return new Promise((resolve) => {
      let leftMs = withinMs;
      let timer: Timer | undefined;
      const answer = (): void => {
        if (this.#answer !== answer) return;
        this.#answer = undefined;
        timer?.cancel();
        endWatch?.();
        this.#restForgotten();
        if (this.#isOver) resolve("forgotten");
        else resolve({ applied: this.#applied, last: this.#last, notices: [...this.#notices] });
      };
      const look = (): void => {
        this.#look();
        if (leftMs <= 0) answer();
        else {
          const pauseMs = Math.min(LOOK_MS, leftMs);
          leftMs -= pauseMs;
          timer = startTimer(pauseMs, look);
        }
      };
      this.#timer?.cancel();
      this.#answer = answer;
      const endWatch = signal && onAbort(signal, answer);
      look();
      if (this.#notices.length > 0 || signal?.aborted === true) answer();
    });
  }

  /** Until the process asks again. */
  #restForgotten(): void {
    this.#timer?.cancel();
    if (this.#isOver) return;
    this.#timer = startTimer(FORGOTTEN_MS, () => this.end());
    this.#timer.unref();
  }

  #apply(from: number, changes: readonly NoticeChange[]): void {
    changes.forEach((change, i) => {
      const number = from + i;
      if (number <= this.#applied || this.#isOver) return;
      this.#applied = number;
      this.#change(change);
    });
    if (this.#listenings.size + this.#watches.size > MOST_OF_SESSION) this.end();
  }

  #change(change: NoticeChange): void {
    switch (change[0]) {
      case "listen":
        this.#listen(change[1], change[2], change[3]);
        break;
      case "missed":
        this.#missed(change[1]);
        break;
      case "end":
        this.#listenings.get(change[1])?.listening.end();
        this.#listenings.delete(change[1]);
        break;
      case "watch":
        this.#watch(change[1]);
        break;
      case "unwatch":
        this.#watches.get(change[1])?.end();
        this.#watches.delete(change[1]);
    }
  }

  #listen(keyspace: string, id: string, owner: string): void {
    const { semaphores } = this.#store;
    if (semaphores === undefined || this.#listenings.has(owner)) return;
    const listening = semaphores.listen(
      { keyspace, id },
      {
        owner,
        notified: (wake) => this.#add(["wake", wake.id, wake.fence, wake.untilUs]),
        live: () => this.#live(owner),
      },
    );
    this.#listenings.set(owner, { listening, isLive: false });
    if (listening.isLive()) this.#live(owner);
  }

  #live(owner: string): void {
    const known = this.#listenings.get(owner);
    if (known === undefined) return;
    known.isLive = true;
    this.#add(["live", owner]);
  }

  #missed(owner: string): void {
    const known = this.#listenings.get(owner);
    if (known === undefined) return;
    known.isLive = false;
    known.listening.missed();
    if (known.listening.isLive()) this.#live(owner);
  }

  /** Whether the store still notifies this service; it does not say when it stops. */
  #look(): void {
    for (const [owner, known] of this.#listenings) {
      const isLive = known.listening.isLive();
      if (isLive === known.isLive) continue;
      known.isLive = isLive;
      this.#add([isLive ? "live" : "quiet", owner]);
    }
  }

  #watch(name: string): void {
    if (this.#watches.has(name)) return;
    const watch = documentsOf(this.#store).watch(name, () => this.#add(["document", name]));
    this.#watches.set(name, watch);
    // What was published before is found by the one that begins to.
    this.#add(["document", name]);
  }

  #add(notice: Notice): void {
    if (this.#isOver) return;
    this.#last += 1;
    this.#notices.push(notice);
    if (this.#notices.length > MOST_OF_SESSION) {
      this.end();
      return;
    }
    // What happens in one tick goes together.
    if (this.#notices.length === 1) atEndOfTick(() => this.#answer?.());
  }
}
