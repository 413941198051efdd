/** `sluice policies pull`: prints a published document. */
import { printPolicies } from "sluice/policies";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { numberOption } from "../../command-line/options.js";
import { noMore, PUBLISHED_OPTIONS, withPublished } from "../../command-line/published.js";
import { terminalOf } from "../../terminal/terminal.js";

/** `sluice policies pull`: the document in force, or an earlier version, as JSON. */
export const policiesPullCommand = defineCommand({
  usage: "sluice policies pull --redis URL [options] > policies.json",
  description: `Prints the published document as JSON, with its version: the one in force, or one of the last 20. If there is none,
the exit code is 1.`,
  options: {
    ...PUBLISHED_OPTIONS,
    version: {
      type: "string",
      value: "VERSION",
      help: "An earlier version; default: the one in force.",
    },
  },
  examples: [
    "sluice policies pull --redis redis://127.0.0.1:6379 > policies.json",
    "sluice policies pull --version 41 --redis redis://127.0.0.1:6379",
  ],
  async run(values, [extra], io) {
    noMore(extra);
    const version =
      values.version === undefined
        ? undefined
        : numberOption("version", values.version, { min: 1, whole: true });
    return withPublished(values, io.env, async ({ published, place }) => {
      const entry = await published.read(version);
      if (entry !== undefined) {
        io.stdout.write(printPolicies(entry.document));
        return EXIT.ok;
      }
      const what =
        version === undefined ? "nothing is published" : `version ${version} is not kept`;
      terminalOf(io.stderr, io.env).say(`sluice: ${what} as ${place}\n`);
      return EXIT.failed;
    });
  },
});
