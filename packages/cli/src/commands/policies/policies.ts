/** `sluice policies`: finds the command on a document of policies. */
import { type Command, EXIT, EXIT_CODES } from "../../command-line/command.js";
import { UsageError } from "../../command-line/options.js";
import { didYouMean } from "../../did-you-mean.js";
import { terminalOf } from "../../terminal/terminal.js";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Every command on documents. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  check: {
    summary: "check documents before they are published",
    load: async () => (await import("./check.js")).policiesCheckCommand,
  },
  diff: {
    summary: "show what a document changes",
    load: async () => (await import("./diff.js")).policiesDiffCommand,
  },
  push: {
    summary: "publish a document for all processes",
    load: async () => (await import("./push.js")).policiesPushCommand,
  },
  pull: {
    summary: "print the published document",
    load: async () => (await import("./pull.js")).policiesPullCommand,
  },
  history: {
    summary: "list the last versions",
    load: async () => (await import("./history.js")).policiesHistoryCommand,
  },
  rollback: {
    summary: "publish an earlier version again",
    load: async () => (await import("./rollback.js")).policiesRollbackCommand,
  },
  import: {
    summary: "make a document of Envoy's or Limitador's configuration",
    load: async () => (await import("./import.js")).policiesImportCommand,
  },
};

const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length)) + 2;

const help = [
  "Usage: sluice policies <command> [options]",
  "",
  "Documents of policies: limits that change while processes run.",
  "",
  "Commands:",
  ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`),
  "",
  "sluice policies <command> --help shows a command's options and examples.",
  EXIT_CODES,
  "",
].join("\n");

/** `sluice policies`: check, diff, push, pull, history, rollback, import. */
export const policiesCommand: Command = {
  help,
  async run([name, ...rest], io) {
    if (name === undefined) {
      terminalOf(io.stderr, io.env).say(help);
      return EXIT.usage;
    }
    if (name === "--help" || name === "-h" || name === "help") {
      terminalOf(io.stdout, io.env).say(help);
      return EXIT.ok;
    }
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (entry !== undefined) return (await entry.load()).run(rest, io);
    const kind = name.startsWith("-") ? "option" : "command";
    throw new UsageError(
      `unknown ${kind} policies ${name}${didYouMean(name, Object.keys(COMMANDS))}`,
    );
  },
};
