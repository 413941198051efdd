/** The log of the service: a JSON object a line. Keys, entries, tokens and the URL of the store are never in it. */

const LEVELS = { debug: 10, info: 20, warn: 30, error: 40 } as const;
export type LogLevel = keyof typeof LEVELS;

/** What a line may say: numbers, and texts of the program's own or of operators. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ServiceLog {
  readonly debug: (message: string, fields?: LogFields) => void;
  readonly info: (message: string, fields?: LogFields) => void;
  readonly warn: (message: string, fields?: LogFields) => void;
  readonly error: (message: string, fields?: LogFields) => void;
  /** Whether lines of the lowest level are written, which are not to be made for nothing. */
  readonly isDebug: boolean;
}

/** Lines are in one order with what is done, so they are written at once: `write` takes a line with its end. */
export function serviceLog(level: LogLevel, write: (line: string) => unknown): ServiceLog {
  const least = LEVELS[level];
  const at =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LEVELS[name] < least) return;
      const time = new Date().toISOString();
      write(`${JSON.stringify({ time, level: name, message, ...fields })}\n`);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isDebug: level === "debug",
  };
}

/** The text of an error, with the parts of a URL that may be secret left out. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, "$1…@");
}
