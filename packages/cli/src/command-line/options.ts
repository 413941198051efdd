/** Parses the options of a command line, and describes them for the help. */
import { parseArgs } from "node:util";
import { durationMs } from "sluice";
import { keyId } from "sluice/audit";
import { didYouMean } from "../did-you-mean.js";
import { valueText } from "../terminal/format.js";

/** One option of a command: how it is parsed, and its line in the help. */
export interface OptionSpec {
  readonly type: "string" | "boolean";
  /** One letter that does as well. */
  readonly short?: string;
  /** The placeholder for the value in the help: `N`, `FILE`; none for a switch. */
  readonly value?: string;
  readonly help: string;
}

/** The options of a command, by their long names. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** What a table's options came to: text if one takes a value, else whether it was given. */
export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]: T[K]["type"] extends "boolean" ? boolean : string | undefined;
};

export interface Arguments<T extends OptionTable> {
  readonly values: OptionValues<T>;
  readonly positionals: readonly string[];
}

/** The command line itself is wrong: the message says how, and the process exits with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Parses what follows the command's name; anything unknown or incomplete is a UsageError. */
export function parseOptions<T extends OptionTable>(
  table: T,
  argv: readonly string[],
): Arguments<T> {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { type, short }]) => [
      name,
      { type, ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    const complete = Object.entries(table).map(([name, { type }]) => [
      name,
      values[name] ?? (type === "boolean" ? false : undefined),
    ]);
    return { values: Object.fromEntries(complete) as OptionValues<T>, positionals };
  } catch (error) {
    throw new UsageError(explain(error, argv, Object.keys(table)));
  }
}

/** parseArgs's own sentences speak to programmers. */
function explain(error: unknown, argv: readonly string[], known: readonly string[]): string {
  const code = (error as { code?: unknown }).code;
  const message = error instanceof Error ? error.message : String(error);
  const named = /'(?:-\w, )?(-[^' ]*)/.exec(message)?.[1] ?? "an option";
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    return `unknown option ${named}${didYouMean(named.replace(/^-+/, ""), known, "--")}`;
  }
  if (code === "ERR_PARSE_ARGS_INVALID_OPTION_VALUE") {
    const next = argv[argv.indexOf(named) + 1];
    if (/does not take/.test(message)) return `${named} takes no value`;
    if (next?.startsWith("-") === true) {
      return `${named} needs a value; one that begins with a hyphen is written ${named}=${next}`;
    }
    return `${named} needs a value`;
  }
  return message;
}

/** A number within a range, or a UsageError that names the option. */
export function numberOption(
  name: string,
  text: string,
  range: { readonly min: number; readonly max?: number; readonly whole?: boolean },
): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const { min, max = Number.MAX_SAFE_INTEGER, whole = false } = range;
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
  const kind = whole ? "a whole number" : "a number";
  const limits = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  throw new UsageError(`--${name} ${valueText(text)} is not ${kind} ${limits}`);
}

/** The most units that a limit or a cost may be, and how fine they are. */
const MAX_UNITS = 1e9;
const THOUSANDTHS = 1000;

/** A number of units, or a UsageError: of 0 to 1e9 in whole thousandths, as limiters count them. */
export function costOption(name: string, text: string): number {
  const cost = numberOption(name, text, { min: 0, max: MAX_UNITS });
  const whole = Math.round(cost * THOUSANDTHS) / THOUSANDTHS;
  if (whole === cost) return cost;
  throw new UsageError(`--${name} ${valueText(text)} is not a number of whole thousandths`);
}

/** A duration in ms, or a UsageError; a bare number is in milliseconds. */
export function durationOption(name: string, text: string): number {
  const bare = text.trim() === "" ? Number.NaN : Number(text);
  try {
    return durationMs(Number.isNaN(bare) ? text : bare, name);
  } catch {
    const examples = '"250ms", "10s", "1h30m", or a number of milliseconds';
    throw new UsageError(`--${name} ${valueText(text)} is not a duration such as ${examples}`);
  }
}

/** The key, which is the one argument of a command that works on a key. */
export function keyArgument(positionals: readonly string[]): string {
  const [key, second] = positionals;
  if (key === undefined) throw new UsageError("<key> is missing");
  if (second !== undefined) {
    throw new UsageError(`unexpected argument ${valueText(second)}; the key is ${valueText(key)}`);
  }
  // No key has an id that a limiter would refuse.
  keyId(key);
  return key;
}

const HELP_COLUMNS = 92;

/** The table as the help shows it: an aligned line an option, wrapped. */
export function describeOptions(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, { value, help }]) => ({
    left: `  --${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  }));
  const width = Math.max(...rows.map(({ left }) => left.length)) + 2;
  return rows
    .map(
      ({ left, help }) =>
        left.padEnd(width) + wrap(help, HELP_COLUMNS - width).join(`\n${" ".repeat(width)}`),
    )
    .join("\n");
}

/** The words of a text in lines that are no longer than `columns`, but for words that are. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
