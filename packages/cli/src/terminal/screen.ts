/** A terminal that one command has for itself: drawn over and over, and given back as it was. */
import { printable } from "./format.js";
import { type Io, terminalOf } from "./terminal.js";

/** The alternate screen, without a cursor (xterm, "private modes"). */
const TAKE = "\u001b[?1049h\u001b[?25l";
const GIVE_BACK = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const ERASE_REST_OF_LINE = "\u001b[K";
const ERASE_BELOW = "\u001b[J";
const DEFAULT_ROWS = 24;

export class Screen {
  readonly #io: Io;
  readonly #endKeys: () => void;

  /** `quit` is called when one of these keys is pressed. */
  constructor(io: Io, quit: () => void, quitKeys: ReadonlySet<string>) {
    this.#io = io;
    this.#endKeys = io.keys((key) => {
      if (quitKeys.has(key)) quit();
    });
    io.stdout.write(TAKE);
  }

  /** Draws lines that are no longer than the screen is wide; those that do not fit below are left out. */
  draw(lines: readonly string[]): void {
    const { stdout, env } = this.#io;
    // Some terminals do not know how many they have, and say 0.
    const { rows: said = 0 } = stdout;
    const rows = said > 0 ? said : DEFAULT_ROWS;
    const shown = lines.slice(0, rows).map((line) => `${line}${ERASE_REST_OF_LINE}`);
    terminalOf(stdout, env).say(`${HOME}${shown.join("\r\n")}${ERASE_BELOW}`);
  }

  end(): void {
    this.#io.stdout.write(GIVE_BACK);
    this.#endKeys();
  }
}

/** Text of others, cut or filled to a width. */
export function fitted(text: string, columns: number): string {
  const safe = printable(text);
  return safe.length <= columns ? safe.padEnd(columns) : `${safe.slice(0, columns - 1)}…`;
}
