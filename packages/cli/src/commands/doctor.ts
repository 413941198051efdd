/** `sluice doctor`: checks the Redis of a store, and says what is wrong with it. */
import { type FindingSeverity, RedisStore, type StoreFinding } from "sluice/redis";
import { defineCommand, EXIT, type ExitCode } from "../command-line/command.js";
import { type OptionTable, UsageError, wrap } from "../command-line/options.js";
import { redactSecrets, redactUrl } from "../command-line/redact.js";
import { requiredRedisUrl, STORE_OPTIONS } from "../command-line/store-options.js";
import { formatCount, printable } from "../terminal/format.js";
import { type Style, type Terminal, terminalOf } from "../terminal/terminal.js";

const OPTIONS = {
  ...STORE_OPTIONS,
  namespace: {
    ...STORE_OPTIONS.namespace,
    help: 'Whose keys the user must be able to reach (default "sluice").',
  },
  user: {
    type: "string",
    value: "NAME",
    help: "Check the permissions of this user of the server, in place of the one who connects.",
  },
  json: { type: "boolean", help: "Print the findings as one JSON object, and nothing else." },
} as const satisfies OptionTable;

/** From the least bad to the worst. */
const SEVERITIES = ["ok", "note", "warning", "error"] as const;

/** The exit code of the worst finding. */
const CODES: Readonly<Record<FindingSeverity, ExitCode>> = {
  ok: EXIT.ok,
  note: EXIT.ok,
  warning: EXIT.failed,
  error: EXIT.usage,
};

const MARKS: Readonly<Record<FindingSeverity, readonly [mark: string, style: Style]>> = {
  ok: ["✓", "green"],
  note: ["·", "cyan"],
  warning: ["!", "yellow"],
  error: ["✗", "red"],
};

/** `sluice doctor`: what is wrong with a server before it matters. */
export const doctorCommand = defineCommand({
  usage: "sluice doctor --redis URL [--cluster] [options]",
  description: `Checks the Redis or Valkey of a store: version, role, eviction, memory, clock, round trip, replicas, persistence,
permissions, messages and, with --cluster, every master. Nothing is written. Each finding that is not
as it should be names the page of the documentation that explains it.`,
  options: OPTIONS,
  examples: [
    "sluice doctor --redis redis://127.0.0.1:6379",
    "sluice doctor --redis redis://admin:password@10.0.0.7:6379 --cluster --user limiter",
  ],
  exitCodes:
    "Exit codes: 0 all is well, or worth a note; 1 a warning; 2 an error, or the command line is wrong.",
  async run(values, positionals, io) {
    const [other] = positionals;
    if (other !== undefined) throw new UsageError(`unexpected argument ${other}`);
    const url = requiredRedisUrl(values, io.env);
    const { cluster, namespace, user } = values;
    const store = new RedisStore({ url, cluster });
    try {
      const found = await store.check({ namespace, user });
      const findings = found.map((each) => ({ ...each, text: redactSecrets(each.text, url) }));
      if (values.json) {
        io.stdout.write(`${JSON.stringify({ store: redactUrl(url), findings })}\n`);
      } else report(redactUrl(url), findings, terminalOf(io.stdout, io.env));
      return CODES[worstOf(findings)];
    } finally {
      await store.close();
    }
  },
});

function worstOf(findings: readonly StoreFinding[]): FindingSeverity {
  const ranks = findings.map(({ severity }) => SEVERITIES.indexOf(severity));
  return SEVERITIES[Math.max(0, ...ranks)] ?? "ok";
}

function report(place: string, findings: readonly StoreFinding[], terminal: Terminal): void {
  const width = Math.max(...findings.map(({ id }) => id.length));
  const indent = " ".repeat(width + 4);
  terminal.say(`${place}\n\n`);
  for (const { id, severity, text, page, node } of findings) {
    const [mark, style] = MARKS[severity];
    const said = printable(node === undefined ? text : `${node}: ${text}`);
    const lines = wrap(said, terminal.columns - indent.length);
    if (severity !== "ok") lines.push(page);
    terminal.say(
      `${terminal.paint(style, mark)} ${id.padEnd(width)}  ${lines.join(`\n${indent}`)}\n`,
    );
  }
  terminal.say(`\n${summary(findings)}\n`);
}

/** "1 error, 2 warnings; 9 as they should be". */
function summary(findings: readonly StoreFinding[]): string {
  const countOf = (severity: FindingSeverity): number =>
    findings.filter((each) => each.severity === severity).length;
  const wrong = (["error", "warning", "note"] as const).flatMap((severity) =>
    countOf(severity) === 0 ? [] : [formatCount(countOf(severity), severity)],
  );
  const well = `${countOf("ok")} as they should be`;
  return [wrong.join(", "), well].filter((part) => part !== "").join("; ");
}
