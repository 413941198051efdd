/** Lines that wait to be written: in bounded memory, and with a record of what was dropped. */
import { type AttemptRule, evictedLine, lostLine, ruleLine } from "../audit/attempt-record.js";

/** A line that waits. */
export interface QueuedLine {
  readonly text: string;
  /** What its file must define before it; undefined if the line needs no rule. */
  readonly rule: AttemptRule | undefined;
  readonly givesBack: boolean;
  /** Of a line that says what is missing: does it again, should this one get lost too. */
  readonly sayAgain?: () => void;
}

export class LineQueue {
  #lines: QueuedLine[] = [];
  #bytes = 0;
  readonly #maxBytes: number;
  /** Dropped and not said in the log yet. */
  #lost = 0;
  readonly #gaveBack = new Set<string>();
  readonly #evicted = new Map<string, number>();
  /** Dropped since the beginning. */
  dropped = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0 && this.#lost === 0 && this.#evicted.size === 0;
  }

  add(line: QueuedLine): void {
    if (this.#bytes + line.text.length > this.#maxBytes) {
      this.drop(line);
      return;
    }
    this.#noteLost();
    this.#push(line);
  }

  /** Counts a line as lost; the log says so before its next line. */
  drop({ rule, givesBack, sayAgain }: QueuedLine): void {
    if (sayAgain !== undefined) {
      sayAgain();
      return;
    }
    this.dropped += 1;
    this.#lost += 1;
    if (givesBack && rule !== undefined) this.#gaveBack.add(rule.limiter);
  }

  addEvictions(store: string, count: number): void {
    this.#evicted.set(store, (this.#evicted.get(store) ?? 0) + count);
  }

  /** Takes all lines, with what there is to say of lost ones; they count until `free` is called. */
  take(): readonly QueuedLine[] {
    this.#noteLost();
    for (const [store, count] of this.#evicted) {
      this.#push(note(evictedLine(count, store), () => this.addEvictions(store, count)));
    }
    this.#evicted.clear();
    const taken = this.#lines;
    this.#lines = [];
    return taken;
  }

  /** The line is written, or lost. */
  free({ text }: QueuedLine): void {
    this.#bytes -= text.length;
  }

  #push(line: QueuedLine): void {
    this.#bytes += line.text.length;
    this.#lines.push(line);
  }

  #noteLost(): void {
    if (this.#lost === 0) return;
    const [lost, gaveBack] = [this.#lost, [...this.#gaveBack]];
    const sayAgain = (): void => {
      this.#lost += lost;
      for (const limiter of gaveBack) this.#gaveBack.add(limiter);
    };
    this.#push(note(lostLine(lost, gaveBack), sayAgain));
    this.#lost = 0;
    this.#gaveBack.clear();
  }
}

function note(text: string, sayAgain: () => void): QueuedLine {
  return { text, rule: undefined, givesBack: false, sayAgain };
}

/** The rules that a file has defined. */
export class DefinedRules {
  readonly #numbers = new Set<number>();

  /** The line with the definition that it still needs. */
  withRule({ text, rule }: QueuedLine): string {
    if (rule === undefined || this.#numbers.has(rule.rule)) return text;
    this.#numbers.add(rule.rule);
    return ruleLine(rule) + text;
  }

  /** Another file, or the definitions of this one are not sure to be in it. */
  clear(): void {
    this.#numbers.clear();
  }
}
