/** `sluice audit`: reads logs, audits them and prints the report. */
import { auditLogs, type LogAudit } from "sluice/audit";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { logSource } from "../../command-line/log-source.js";
import { UsageError } from "../../command-line/options.js";
import { policiesFromText } from "../../command-line/policy-options.js";
import { type Terminal, terminalOf } from "../../terminal/terminal.js";
import { attemptJson, attemptText } from "./attempt-report.js";
import { auditJson, auditText } from "./audit-report.js";
import { semaphoreText } from "./semaphore-report.js";

/** `sluice audit`: proves from logs that the limit was kept, or shows at which lines it was not. */
export const auditCommand = defineCommand({
  usage: "sluice audit FILE… [options]",
  description: `Merges the logs of any number of processes by the server's time and, for each key,
(a) proves or refutes the policy's bound over every interval, in exact arithmetic, and
(b) replays every decision through the pure kernel: all of them must match.

Logs may be given one by one or concatenated; - is standard input. They must hold every call on
their keys since the keys were new.

For the logs of a semaphore it proves or refutes that no more than the limit was ever held, and that
permits were given first come, first served.

Logs of attempts, which sluice/log writes, may come from all processes in any order. Some may be cut
short or missing: what is not there cannot refute a limit.`,
  options: {
    policy: {
      type: "string",
      value: "JSON",
      help: "The policy to audit against, or an array of them, instead of the one in the logs.",
    },
    json: { type: "boolean", help: "Print the report as one JSON object, and nothing else." },
  },
  examples: [
    "sluice audit a.jsonl b.jsonl",
    "cat *.jsonl | sluice audit -",
    "sluice audit app.log app.log.1",
    `sluice audit a.jsonl --policy '{"algorithm":"gcra","limit":5,"period":"1s"}' --json`,
  ],
  async run({ policy, json }, files, io) {
    if (files.length === 0) throw new UsageError("FILE is missing; - is standard input");
    if (new Set(files).size < files.length) {
      throw new UsageError("a FILE is given twice: its records would count twice");
    }
    const policies = policy === undefined ? undefined : policiesFromText(policy);
    const terminal = terminalOf(io.stdout, io.env);
    const audited = await auditLogs(
      files.map((file) => logSource(file, io)),
      policies,
    );
    if (json) io.stdout.write(`${JSON.stringify(fieldsOf(audited))}\n`);
    else terminal.say(textOf(audited, terminal));
    return audited.report.passed ? EXIT.ok : EXIT.failed;
  },
});

function textOf(audited: LogAudit, terminal: Terminal): string {
  switch (audited.of) {
    case "semaphore":
      return semaphoreText(audited.report, terminal);
    case "attempts":
      return attemptText(audited.report, terminal);
    case "limiter":
      return auditText(audited.report, terminal);
  }
}

function fieldsOf(audited: LogAudit): object {
  switch (audited.of) {
    case "semaphore":
      return audited.report;
    case "attempts":
      return attemptJson(audited.report);
    case "limiter":
      return auditJson(audited.report);
  }
}
