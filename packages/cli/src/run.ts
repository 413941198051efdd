/** Finds the command that a command line names, runs it, and turns errors into messages and exit codes. */
import { InvalidOptionError, SluiceError } from "sluice";
import { LogError } from "sluice/audit";
import { type Command, EXIT, EXIT_CODES, type ExitCode } from "./command-line/command.js";
import { UsageError } from "./command-line/options.js";
import { didYouMean } from "./did-you-mean.js";
import { redactSecrets } from "./command-line/redact.js";
import { printableLines } from "./terminal/format.js";
import { type Io, terminalOf } from "./terminal/terminal.js";

interface Entry {
  readonly summary: string;
  /** Commands are loaded when called, so that one need not wait for what another imports. */
  readonly load: () => Promise<Command>;
}

/** Every command. A new one is its file and a line here. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  demo: {
    summary: "show limits at work: a service, its dashboard, and a few callers",
    load: async () => (await import("./commands/demo/demo.js")).demoCommand,
  },
  exercise: {
    summary: "call a limiter and show what it allows and denies",
    load: async () => (await import("./commands/exercise/exercise.js")).exerciseCommand,
  },
  audit: {
    summary: "prove from logs that a limit was kept, or show where it was not",
    load: async () => (await import("./commands/audit/audit.js")).auditCommand,
  },
  simulate: {
    summary: "show what other limits would have done to the calls of a log",
    load: async () => (await import("./commands/simulate/simulate.js")).simulateCommand,
  },
  policies: {
    summary: "check, compare and publish documents of policies",
    load: async () => (await import("./commands/policies/policies.js")).policiesCommand,
  },
  explain: {
    summary: "show which rules of a document a request meets, and what each would answer",
    load: async () => (await import("./commands/explain.js")).explainCommand,
  },
  inspect: {
    summary: "show what a key has left",
    load: async () => (await import("./commands/keys/inspect.js")).inspectCommand,
  },
  reset: {
    summary: "give a key its full quota back",
    load: async () => (await import("./commands/keys/reset.js")).resetCommand,
  },
  block: {
    summary: "deny a key for a while",
    load: async () => (await import("./commands/keys/block.js")).blockCommand,
  },
  unblock: {
    summary: "lift a key's block",
    load: async () => (await import("./commands/keys/block.js")).unblockCommand,
  },
  serve: {
    summary: "decide over HTTP for every language and proxy",
    load: async () => (await import("./commands/serve.js")).serveCommand,
  },
  bench: {
    summary: "measure how fast your policies decide, on your Redis",
    load: async () => (await import("./commands/bench/bench.js")).benchCommand,
  },
  doctor: {
    summary: "check the Redis of a store, and say what is wrong with it",
    load: async () => (await import("./commands/doctor.js")).doctorCommand,
  },
  top: {
    summary: "watch what all processes allow and deny",
    load: async () => (await import("./commands/top/top.js")).topCommand,
  },
};

/** Runs a command line (without the program's name) and answers the exit code; nothing is thrown. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  const [name, ...rest] = argv;
  try {
    if (name === undefined) {
      terminalOf(io.stderr, io.env).say(overview());
      return EXIT.usage;
    }
    if (name === "--help" || name === "-h" || name === "help") return await help(rest[0], io);
    if (name === "--version") return await version(io);
    return await (await commandOf(name)).run(rest, io);
  } catch (error) {
    return fail(error, name, argv, io);
  }
}

async function commandOf(name: string): Promise<Command> {
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry !== undefined) return entry.load();
  const kind = name.startsWith("-") ? "option" : "command";
  throw new UsageError(`unknown ${kind} ${name}${didYouMean(name, Object.keys(COMMANDS))}`);
}

async function help(about: string | undefined, io: Io): Promise<ExitCode> {
  const text = about === undefined ? overview() : (await commandOf(about)).help;
  terminalOf(io.stdout, io.env).say(text);
  return EXIT.ok;
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length)) + 2;
  return [
    "Sluice: exact rate limits, in one process or shared through Redis.",
    "",
    "Usage: sluice <command> [options]",
    "",
    "Commands:",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`),
    "",
    "sluice <command> --help shows a command's options and examples; sluice --version, the version.",
    EXIT_CODES,
    "",
  ].join("\n");
}

async function version(io: Io): Promise<ExitCode> {
  const { readFile } = await import("node:fs/promises");
  const text = await readFile(new URL("../package.json", import.meta.url), "utf8");
  io.stdout.write(`${(JSON.parse(text) as { version: string }).version}\n`);
  return EXIT.ok;
}

/** Says what went wrong in a line or two; a stack is only for unforeseen errors. */
function fail(error: unknown, name: string | undefined, argv: readonly string[], io: Io): ExitCode {
  const terminal = terminalOf(io.stderr, io.env);
  const say = (text: string): void => {
    terminal.say(`sluice: ${printableLines(withoutSecrets(text, argv, io))}\n`);
  };
  if (error instanceof UsageError || error instanceof InvalidOptionError) {
    say(error.message);
    const known = name !== undefined && Object.hasOwn(COMMANDS, name);
    terminal.say(`See sluice ${known ? `${name} ` : ""}--help\n`);
    return EXIT.usage;
  }
  if (error instanceof LogError) {
    say(error.message);
    return EXIT.usage;
  }
  say(error instanceof Error ? explained(error) : String(error));
  return EXIT.failed;
}

/** An error that its message explains, or the stack of one that should not have happened. */
function explained(error: Error): string {
  const foreseen = error instanceof SluiceError || "code" in error;
  return foreseen ? error.message : (error.stack ?? error.message);
}

/** A URL's password must not reach a terminal or a build log, wherever a message quotes it. */
function withoutSecrets(text: string, argv: readonly string[], { env }: Io): string {
  const urls = [
    env["SLUICE_REDIS_URL"],
    ...argv.map((argument) => argument.replace(/^--[\w-]+=/, "")),
  ];
  return urls
    .filter((url) => url?.includes("@"))
    .reduce<string>((safe, url) => redactSecrets(safe, url), text);
}
