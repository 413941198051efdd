/** What is wrong in a document, collected: each with its file, line and path, the value, and what is allowed. */
import { InvalidOptionError, escaped, SluiceError } from "../core/errors.js";
import type { SourceNode } from "./source-node.js";

/** One thing that is wrong, or likely not meant. */
export interface PoliciesProblem {
  /** As it was given to the parser. */
  readonly file: string | undefined;
  /** Counted from 1; undefined if the document was not text. */
  readonly line: number | undefined;
  /** Such as `rules[2].policy.period`; empty for the document as a whole. */
  readonly path: string;
  /** All of it as one line: `policies.yaml:17 rules[2].policy.period: ...`. */
  readonly message: string;
}

/** More problems than this at once help no reader. */
const MOST_PROBLEMS = 20;

/** The document cannot be used. Nothing of it is in force. */
export class InvalidPoliciesError extends SluiceError {
  /** All of them, at most 20. */
  readonly problems: readonly PoliciesProblem[];

  constructor(problems: readonly PoliciesProblem[]) {
    const [first] = problems;
    const others = problems.length - 1;
    const more = others > 0 ? ` (and ${others} more)` : "";
    super("INVALID_POLICIES", `${first?.message ?? "nothing is wrong"}${more}`);
    this.name = "InvalidPoliciesError";
    this.problems = problems;
  }
}

/** Thrown when there are enough problems. */
const ENOUGH = new Error("enough problems");

/** A name behind a path: `.name`, or `["a name"]`. */
export function below(path: string, name: string): string {
  if (!/^[\w$-]{1,64}$/.test(name)) {
    return `${path}[${name.length > 40 ? "a long name" : JSON.stringify(name)}]`;
  }
  return path === "" ? name : `${path}.${name}`;
}

export class Problems {
  readonly #file: string | undefined;
  readonly #mostWarnings: number;
  readonly #found: PoliciesProblem[] = [];
  readonly #warnings: PoliciesProblem[] = [];

  constructor(file: string | undefined, mostWarnings = MOST_WARNINGS) {
    this.#file = file;
    this.#mostWarnings = mostWarnings;
  }

  get count(): number {
    return this.#found.length;
  }

  /** Runs checks until they are done, or there are problems enough. */
  during(check: () => void): void {
    try {
      check();
    } catch (error) {
      if (error !== ENOUGH) throw error;
    }
  }

  /** A value that is not allowed at its position. */
  refuse(at: SourceNode, path: string, value: unknown, allowed: string, hint?: string): void {
    this.add(at.line, path, new InvalidOptionError(path, value, allowed, { hint }).message);
  }

  /** A problem in words; `message` names the path. */
  add(line: number | undefined, path: string, message: string): void {
    this.#found.push(this.#problem(line, path, message));
    if (this.#found.length >= MOST_PROBLEMS) throw ENOUGH;
  }

  /** What is allowed, and likely not meant. */
  warn(line: number | undefined, path: string, message: string): void {
    if (this.#warnings.length === this.#mostWarnings) return;
    this.#warnings.push(this.#problem(line, path, `${path}: ${message}`));
  }

  get warnings(): readonly PoliciesProblem[] {
    return Object.freeze([...this.#warnings]);
  }

  /** Throws if there are any. */
  end(): void {
    if (this.#found.length > 0) throw new InvalidPoliciesError(Object.freeze([...this.#found]));
  }

  #problem(line: number | undefined, path: string, message: string): PoliciesProblem {
    const file = this.#file;
    const place =
      line === undefined ? file : file === undefined ? `line ${line}:` : `${file}:${line}`;
    const whole = place === undefined ? message : `${place} ${message}`;
    return Object.freeze({ file, line, path, message: escaped(whole) });
  }
}

/** Of 10,000 overrides each may be out of reach. */
const MOST_WARNINGS = 100;
