/** The output of a command: styles, characters and widths of a terminal. */

/** A target of text; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/** All that a command knows of the process it runs in, so that a test can be that process. */
export interface Io {
  readonly stdin: AsyncIterable<string | Uint8Array> & { readonly isTTY?: boolean | undefined };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** To be called by a command that handles SIGINT: the signal then aborts instead of ending the process. */
  interruption(): AbortSignal;
  /**
   * To be called by a command that reads single keys, if a person is there: `pressed` gets each, Ctrl-C too. What it
   * returns gives the keyboard back.
   */
  keys(pressed: (key: string) => void): () => void;
}

/** Escape codes that begin and end a style (ECMA-48, "select graphic rendition"). */
const STYLES = {
  bold: ["\u001b[1m", "\u001b[22m"],
  red: ["\u001b[31m", "\u001b[39m"],
  green: ["\u001b[32m", "\u001b[39m"],
  yellow: ["\u001b[33m", "\u001b[39m"],
  cyan: ["\u001b[36m", "\u001b[39m"],
  onRed: ["\u001b[41m", "\u001b[49m"],
} as const;

/** A style, or several at once. */
export type Style = keyof typeof STYLES | readonly (keyof typeof STYLES)[];

/** What an output can show, and how text is dressed for it. */
export interface Terminal {
  readonly columns: number;
  readonly colour: boolean;
  readonly unicode: boolean;
  paint(style: Style, text: string): string;
  /** Writes text for people, in the characters that the output has. */
  say(text: string): void;
}

const DEFAULT_COLUMNS = 80;
const FEWEST_COLUMNS = 40;
const MOST_COLUMNS = 120;

/** Colours only if a person looks (https://no-color.org), wide characters unless the locale rules them out. */
export function terminalOf(output: Output, env: Io["env"]): Terminal {
  const dumb = env["TERM"] === "dumb";
  const colour = wantsColour(env, output.isTTY === true && !dumb);
  const columns = output.isTTY === true ? (output.columns ?? DEFAULT_COLUMNS) : DEFAULT_COLUMNS;
  const unicode = !dumb && speaksUnicode(env);
  return {
    columns: Math.max(FEWEST_COLUMNS, Math.min(columns, MOST_COLUMNS)),
    colour,
    unicode,
    paint: (style, text) => (colour ? paint(style, text) : text),
    say: (text) => {
      output.write(unicode ? text : inAscii(text));
    },
  };
}

function paint(style: Style, text: string): string {
  const names = typeof style === "string" ? [style] : style;
  return names.reduceRight((inner, name) => `${STYLES[name][0]}${inner}${STYLES[name][1]}`, text);
}

/** The few signs that Sluice's own sentences use. */
const ASCII_SIGNS: Readonly<Record<string, string>> = {
  "≤": "<=",
  "·": "*",
  "⌈": "ceil(",
  "⌉": ")",
  "…": "...",
  "→": "to",
  µ: "u",
  "✓": "+",
  "✗": "x",
};

function inAscii(text: string): string {
  return text.replace(/[≤·⌈⌉…→µ✓✗]/gu, (sign) => ASCII_SIGNS[sign] ?? "?");
}

function wantsColour(env: Io["env"], capable: boolean): boolean {
  if (isSet(env["NO_COLOR"])) return false;
  const forced = env["FORCE_COLOR"];
  return isSet(forced) ? forced !== "0" : capable;
}

/** No locale at all (containers, Windows) is taken as UTF-8; "C" and "POSIX" are not. */
function speaksUnicode(env: Io["env"]): boolean {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find(isSet);
  return locale === undefined || /utf-?8/i.test(locale);
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}
