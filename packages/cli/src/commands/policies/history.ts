/** `sluice policies history`: who published which version. */
import { defineCommand, EXIT } from "../../command-line/command.js";
import { noMore, PUBLISHED_OPTIONS, withPublished } from "../../command-line/published.js";
import { timeOf } from "../../command-line/version-text.js";
import { printable } from "../../terminal/format.js";
import { table } from "../../terminal/table.js";
import { terminalOf } from "../../terminal/terminal.js";

/** `sluice policies history`: the last 20 versions, the newest first. */
export const policiesHistoryCommand = defineCommand({
  usage: "sluice policies history --redis URL [options]",
  description: "Lists the last 20 published versions, the newest first: when, by whom, and why.",
  options: {
    ...PUBLISHED_OPTIONS,
    json: { type: "boolean", help: "Print the versions as one JSON object, and nothing else." },
  },
  examples: ["sluice policies history --redis redis://127.0.0.1:6379"],
  async run(values, [extra], io) {
    noMore(extra);
    return withPublished(values, io.env, async ({ published, place }) => {
      const versions = await published.history();
      if (values.json) {
        io.stdout.write(`${JSON.stringify({ versions })}\n`);
        return EXIT.ok;
      }
      const terminal = terminalOf(io.stdout, io.env);
      if (versions.length === 0) terminal.say(`nothing is published as ${place}\n`);
      else {
        const rows = versions.map(({ version, atMs, by = "" }) => [
          String(version),
          `${timeOf(atMs)} UTC`,
          printable(by),
        ]);
        const lines = table([["version", "published", "by"], ...rows]);
        const comments = ["comment", ...versions.map(({ comment = "" }) => printable(comment))];
        const width = Math.max(...lines.map((line) => line.length));
        terminal.say(
          lines
            .map((line, i) => `${`${line.padEnd(width)}  ${comments[i] ?? ""}`.trimEnd()}\n`)
            .join(""),
        );
      }
      return EXIT.ok;
    });
  },
});
