/** `sluice policies import`: makes a document of another limiter's configuration. */
import {
  importEnvoy,
  importLimitador,
  InvalidPoliciesError,
  loadYaml,
  printPolicies,
} from "sluice/policies";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { UsageError } from "../../command-line/options.js";
import { readText } from "../../command-line/policies-input.js";
import { noMore } from "../../command-line/published.js";
import { formatCount, printable } from "../../terminal/format.js";
import { terminalOf } from "../../terminal/terminal.js";

const IMPORTERS: Readonly<Record<string, typeof importEnvoy>> = {
  envoy: importEnvoy,
  limitador: importLimitador,
};

/** `sluice policies import`: what does not map is listed by line. */
export const policiesImportCommand = defineCommand({
  usage: "sluice policies import FILE --from envoy|limitador [options] > policies.json",
  description: `Prints a document with the limits of another limiter's configuration, which is YAML: that of envoyproxy/ratelimit, or of
Limitador. What is not in the document, or differs in it, is listed by line on standard error; with --strict that
makes the exit code 1. - is standard input.`,
  options: {
    from: {
      type: "string",
      value: "WHICH",
      help: `Whose configuration it is: ${Object.keys(IMPORTERS).join(" or ")}.`,
    },
    strict: { type: "boolean", help: "Fail where something does not map." },
    json: {
      type: "boolean",
      help: "Print the document and the notes as one JSON object, and nothing else.",
    },
  },
  examples: [
    "sluice policies import config.yaml --from envoy > policies.json",
    "sluice policies import limits.yaml --from limitador --json",
  ],
  async run({ from, strict, json }, [file, extra], io) {
    const names = Object.keys(IMPORTERS).join(" or ");
    if (from === undefined) throw new UsageError(`--from is missing: ${names}`);
    const importer = Object.hasOwn(IMPORTERS, from) ? IMPORTERS[from] : undefined;
    if (importer === undefined) throw new UsageError(`--from is ${names}, not ${from}`);
    if (file === undefined) throw new UsageError("FILE is missing; - is standard input");
    noMore(extra);
    const text = await readText(file, io);
    const name = file === "-" ? "(standard input)" : file;
    const yaml = await loadYaml();
    try {
      const { document, notes } = importer(text, { format: "yaml", file: name, yaml });
      if (json) io.stdout.write(`${JSON.stringify({ document, notes })}\n`);
      else {
        io.stdout.write(printPolicies(document));
        const terminal = terminalOf(io.stderr, io.env);
        for (const { message } of notes) terminal.say(`${printable(message)}\n`);
        const rest = notes.length === 0 ? "" : `; ${formatCount(notes.length, "note")} above`;
        terminal.say(`${printable(name)}  ${formatCount(document.rules.length, "rule")}${rest}\n`);
      }
      return strict && notes.length > 0 ? EXIT.failed : EXIT.ok;
    } catch (error) {
      if (!(error instanceof InvalidPoliciesError)) throw error;
      throw new UsageError(error.problems.map(({ message }) => message).join("\n"));
    }
  },
});
