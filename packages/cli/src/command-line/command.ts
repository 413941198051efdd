/** What a command of `sluice` is: its help, its options, its exit code. */
import { type Io, terminalOf } from "../terminal/terminal.js";
import { describeOptions, type OptionTable, type OptionValues, parseOptions } from "./options.js";

/** Exit codes, documented in `sluice --help`, never to change. */
export const EXIT = {
  ok: 0,
  /** An audit was refuted, a document is not valid or was not published, or a run failed. */
  failed: 1,
  /** The command line, or a log or a document that it names, cannot be read; nothing was done. */
  usage: 2,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command once defined: everything that differs between commands is inside. */
export interface Command {
  readonly help: string;
  run(argv: readonly string[], io: Io): Promise<ExitCode>;
}

/** A command as its file writes it. */
export interface CommandDefinition<T extends OptionTable> {
  /** The line after "Usage:", such as "sluice audit FILE… [options]". */
  readonly usage: string;
  readonly description: string;
  readonly options: T;
  readonly examples: readonly string[];
  /** What its exit codes mean, if that differs from other commands. */
  readonly exitCodes?: string;
  run(values: OptionValues<T>, positionals: readonly string[], io: Io): Promise<ExitCode>;
}

/** Gives a definition its help text and its parser. */
export function defineCommand<T extends OptionTable>(definition: CommandDefinition<T>): Command {
  const { usage, description, options, examples, exitCodes = EXIT_CODES } = definition;
  const help = [
    `Usage: ${usage}`,
    "",
    description,
    "",
    "Options:",
    describeOptions({ ...options, help: HELP }),
    "",
    examples.length === 1 ? "Example:" : "Examples:",
    ...examples.map((example) => `  ${example}`),
    "",
    exitCodes,
    "",
  ].join("\n");
  return {
    help,
    async run(argv, io) {
      const { values, positionals } = parseOptions({ ...options, help: HELP }, argv);
      if (values.help === true) {
        terminalOf(io.stdout, io.env).say(help);
        return EXIT.ok;
      }
      return definition.run(values, positionals, io);
    },
  };
}

const HELP = { type: "boolean", short: "h", help: "Show this help." } as const;

export const EXIT_CODES =
  "Exit codes: 0 all is well; 1 an audit was refuted, a document is not valid or a run failed; 2 the command line, a log or a document cannot be read.";
