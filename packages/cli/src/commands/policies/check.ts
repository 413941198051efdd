/** `sluice policies check`: checks documents of policies before they are published. */
import { InvalidPoliciesError, type PoliciesProblem } from "sluice/policies";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { UsageError } from "../../command-line/options.js";
import { readPolicies } from "../../command-line/policies-input.js";
import { formatCount, printable } from "../../terminal/format.js";
import { type Io, type Terminal, terminalOf } from "../../terminal/terminal.js";

/** What was found of one document. */
interface Checked {
  readonly file: string;
  readonly valid: boolean;
  readonly rules: number;
  readonly overrides: number;
  readonly problems: readonly PoliciesProblem[];
  readonly warnings: readonly PoliciesProblem[];
}

/** `sluice policies check`: says of each document whether it is valid, and what is likely not meant. */
export const policiesCheckCommand = defineCommand({
  usage: "sluice policies check FILE… [options]",
  description: `Checks documents of policies, in JSON or, in files named *.yaml or *.yml, in YAML: what is
wrong, by line and field, and what is allowed there. Warnings are of what is likely not meant: rules
that can never match, overrides that no key reaches or whose time is over.

A document that is not valid makes the exit code 1; with --strict a warning does so too. - is
standard input, in JSON.`,
  options: {
    strict: { type: "boolean", help: "Fail where there are warnings." },
    json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
  },
  examples: ["sluice policies check policies.yaml", "sluice policies check *.json --strict"],
  async run({ strict, json }, files, io) {
    if (files.length === 0) throw new UsageError("FILE is missing; - is standard input");
    const checked: Checked[] = [];
    for (const file of files) checked.push(await check(file, io));
    const passed = checked.every(
      ({ valid, warnings }) => valid && !(strict && warnings.length > 0),
    );
    if (json) io.stdout.write(`${JSON.stringify({ passed, documents: checked })}\n`);
    else {
      const terminal = terminalOf(io.stdout, io.env);
      for (const each of checked) terminal.say(textOf(each, terminal));
    }
    return passed ? EXIT.ok : EXIT.failed;
  },
});

async function check(file: string, io: Io): Promise<Checked> {
  try {
    const { document, warnings } = await readPolicies(file, io);
    const [rules, overrides] = [document.rules.length, document.overrides?.length ?? 0];
    return { file, valid: true, rules, overrides, problems: [], warnings };
  } catch (error) {
    if (!(error instanceof InvalidPoliciesError)) throw error;
    return { file, valid: false, rules: 0, overrides: 0, problems: error.problems, warnings: [] };
  }
}

function textOf(checked: Checked, terminal: Terminal): string {
  const { file, valid, rules, overrides, problems, warnings } = checked;
  const verdict = valid
    ? `${terminal.paint("green", "valid")}: ${formatCount(rules, "rule")}, ${formatCount(overrides, "override")}`
    : terminal.paint("red", `not valid: ${formatCount(problems.length, "problem")}`);
  const lines = [
    ...problems.map(({ message }) => terminal.paint("red", printable(message))),
    ...warnings.map(
      ({ message }) => `${terminal.paint("yellow", "warning")} ${printable(message)}`,
    ),
    `${printable(file)}  ${verdict}`,
  ];
  return `${lines.join("\n")}\n`;
}
