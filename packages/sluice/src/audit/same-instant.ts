/** Finds an order of the records that share a microsecond in which the kernel gives their answers. */
import type { States } from "../algorithms/step.js";
import { clockBehind } from "./clock-behind.js";
import type { Mismatch } from "./mismatch.js";
import type { Replayer, LoggedDecision, Reply } from "./replayer.js";
import type { LogRecord } from "./record.js";

/** What a search for an order came to. */
export interface Explanation {
  /** After all records; of use only without a mismatch. */
  readonly states: States;
  readonly mismatch: Mismatch | undefined;
  /** How many records the best order explained. */
  readonly replayed: number;
  readonly clockBackUs: number;
}

/** Questions to the kernel before a search gives up, and as many more for each record. */
const PATIENCE = 20_000;
const PATIENCE_PER_RECORD = 20;

/**
 * Finds an order in which the kernel gives the answers of records that share one microsecond.
 *
 * At one instant the state depends only on what was granted, not in which order. So an answer that
 * granted nothing may be placed wherever it fits, at once; and of the others only requests of
 * different cost are ever a choice, since equal requests with equal answers are interchangeable.
 * Choices follow the order of the logs, which is nearly always right, and are taken back when stuck.
 */
export function explainInstant(
  kernel: Replayer,
  states: States,
  records: readonly LogRecord[],
): Explanation {
  return new Search(kernel, states, records).run();
}

/** A record that may come next, and what follows from it. */
interface Candidate {
  readonly index: number;
  readonly states: States;
  readonly clockBackUs: number;
}

/** A point at which the search can still take another branch. */
interface Choice {
  readonly before: Position;
  readonly placedBefore: number;
  readonly untried: Candidate[];
}

/** The position of the search, without the records that it has placed. */
interface Position {
  readonly states: States;
  /** Whether any record has changed the state, and so set the time that later ones cannot go before. */
  readonly changed: boolean;
  readonly clockBackUs: number;
}

/** The records of one request, by their answers. */
interface Kind {
  readonly request: LogRecord;
  readonly answers: ReadonlyMap<string, Queue>;
  /** How many are not placed. */
  left: number;
}

class Search {
  readonly #kernel: Replayer;
  readonly #records: readonly LogRecord[];
  readonly #isPlaced: boolean[];
  readonly #kinds: readonly Kind[];
  readonly #kindOf: readonly Kind[];
  /** The records as each process logged them. */
  readonly #files: readonly Queue[];
  /** Indices in the order in which they were placed. */
  readonly #placed: number[] = [];
  readonly #choices: Choice[] = [];
  #position: Position;
  #patience: number;
  #furthest: { readonly placed: number; readonly mismatch: Mismatch } | undefined;

  constructor(kernel: Replayer, states: States, records: readonly LogRecord[]) {
    this.#kernel = kernel;
    this.#position = { states, changed: false, clockBackUs: 0 };
    this.#records = [...records].sort((a, b) => a.file - b.file || a.line - b.line);
    this.#isPlaced = this.#records.map(() => false);
    this.#kindOf = kindsOf(this.#records, this.#isPlaced);
    this.#kinds = [...new Set(this.#kindOf)];
    this.#files = filesOf(this.#records, this.#isPlaced);
    this.#patience = PATIENCE + PATIENCE_PER_RECORD * records.length;
  }

  run(): Explanation {
    for (;;) {
      let candidates = this.#placeAndListCandidates();
      if (this.#placed.length === this.#records.length) return this.#explanation(undefined);
      if (candidates.length === 0) candidates = this.#candidatesByAnEarlierClock();
      const [next, ...untried] = candidates;
      if (next !== undefined) {
        if (untried.length > 0) this.#remember(untried);
        this.#follow(next);
      } else {
        this.#noteDeadEnd();
        if (!this.#goBack()) return this.#explanation(this.#furthest?.mismatch);
      }
    }
  }

  /** Places all that fits and changes nothing; returns what fits and would change the state. */
  #placeAndListCandidates(): Candidate[] {
    const candidates: Candidate[] = [];
    const { states: before, clockBackUs } = this.#position;
    for (const { request, answers, left } of this.#kinds) {
      if (left === 0) continue;
      const { decision, states } = this.#ask(request);
      const fitting = answers.get(answerKey(decision));
      if (states === before) {
        for (let at = fitting?.head(); at !== undefined; at = fitting?.head()) this.#place(at);
      } else {
        const index = fitting?.head();
        if (index !== undefined) candidates.push({ index, states, clockBackUs });
      }
    }
    return candidates.sort((a, b) => a.index - b.index);
  }

  /**
   * If nothing fits, the server's clock may have gone back: its decisions then keep the time of the
   * last change, and only their waits show it. That takes a change at this very microsecond.
   */
  #candidatesByAnEarlierClock(): Candidate[] {
    const candidates: Candidate[] = [];
    if (!this.#position.changed) return candidates;
    for (const file of this.#files) {
      const index = file.head();
      const record = index === undefined ? undefined : this.#records[index];
      if (index === undefined || record === undefined) continue;
      const found = clockBehind(record, (rawUs) => this.#ask(record, rawUs));
      if (found === undefined) continue;
      const clockBackUs = Math.max(this.#position.clockBackUs, found.behindUs);
      candidates.push({ index, states: found.states, clockBackUs });
    }
    return candidates;
  }

  #ask(record: LogRecord, rawUs = record.atUs): Reply {
    this.#patience -= 1;
    return this.#kernel.ask(this.#position.states, record, rawUs);
  }

  #remember(untried: Candidate[]): void {
    this.#choices.push({ before: this.#position, placedBefore: this.#placed.length, untried });
  }

  #follow({ index, states, clockBackUs }: Candidate): void {
    const changed = this.#position.changed || states !== this.#position.states;
    this.#place(index);
    this.#position = { states, changed, clockBackUs };
  }

  #place(index: number): void {
    this.#isPlaced[index] = true;
    this.#placed.push(index);
    this.#countLeft(index, -1);
  }

  #countLeft(index: number, change: number): void {
    const kind = this.#kindOf[index];
    if (kind !== undefined) kind.left += change;
  }

  /** Returns to the latest choice that has something else to try, and tries it. */
  #goBack(): boolean {
    const choice = this.#choices.at(-1);
    const next = choice?.untried.shift();
    if (choice === undefined || next === undefined || this.#patience <= 0) return false;
    for (const index of this.#placed.splice(choice.placedBefore)) {
      this.#isPlaced[index] = false;
      this.#countLeft(index, 1);
    }
    this.#rewind();
    this.#position = choice.before;
    if (choice.untried.length === 0) this.#choices.pop();
    this.#follow(next);
    return true;
  }

  #rewind(): void {
    for (const queue of this.#files) queue.rewind();
    for (const { answers } of this.#kinds) for (const queue of answers.values()) queue.rewind();
  }

  #noteDeadEnd(): void {
    const placed = this.#placed.length;
    const record = this.#records[this.#isPlaced.indexOf(false)];
    if (record === undefined || placed <= (this.#furthest?.placed ?? -1)) return;
    const { decision } = this.#ask(record);
    const tied = this.#records.length;
    this.#furthest = { placed, mismatch: { record, kernel: decision, tied, exhaustive: true } };
  }

  #explanation(mismatch: Mismatch | undefined): Explanation {
    const { states, clockBackUs } = this.#position;
    return {
      states,
      clockBackUs,
      replayed: mismatch === undefined ? this.#records.length : (this.#furthest?.placed ?? 0),
      mismatch: mismatch && { ...mismatch, exhaustive: this.#patience > 0 },
    };
  }
}

/** Records that are alike in some way, first the one that was logged first. */
class Queue {
  readonly #indices: number[] = [];
  readonly #isPlaced: readonly boolean[];
  #next = 0;

  constructor(isPlaced: readonly boolean[]) {
    this.#isPlaced = isPlaced;
  }

  add(index: number): void {
    this.#indices.push(index);
  }

  /** The first that is not placed. */
  head(): number | undefined {
    for (;;) {
      const index = this.#indices[this.#next];
      if (index === undefined || this.#isPlaced[index] !== true) return index;
      this.#next += 1;
    }
  }

  /** To be called when records may have been taken back. */
  rewind(): void {
    this.#next = 0;
  }
}

/** The kind of each record. */
function kindsOf(records: readonly LogRecord[], isPlaced: readonly boolean[]): readonly Kind[] {
  const kinds = new Map<string, Kind & { readonly answers: Map<string, Queue> }>();
  return records.map((record, index) => {
    const request = `${record.verb} ${record.cost} ${record.maxWaitUs}`;
    const kind = kinds.get(request) ?? {
      request: record,
      answers: new Map<string, Queue>(),
      left: 0,
    };
    kinds.set(request, kind);
    kind.left += 1;
    addTo(kind.answers, answerKey(record), index, isPlaced);
    return kind;
  });
}

/** The records of each file. */
function filesOf(records: readonly LogRecord[], isPlaced: readonly boolean[]): readonly Queue[] {
  const files = new Map<number, Queue>();
  records.forEach(({ file }, index) => {
    addTo(files, file, index, isPlaced);
  });
  return [...files.values()];
}

function addTo<K>(
  queues: Map<K, Queue>,
  key: K,
  index: number,
  isPlaced: readonly boolean[],
): void {
  const queue = queues.get(key) ?? new Queue(isPlaced);
  queues.set(key, queue);
  queue.add(index);
}

/** Equal for equal answers. */
function answerKey({
  allowed,
  granted,
  remaining,
  retryAfterMs,
  resetAfterMs,
  reason,
  readyAtUs,
}: LoggedDecision): string {
  return `${allowed} ${granted} ${remaining} ${retryAfterMs} ${resetAfterMs} ${reason} ${readyAtUs}`;
}
