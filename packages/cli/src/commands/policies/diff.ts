/** `sluice policies diff`: what one document changes in another. */
import { diffPolicies } from "sluice/policies";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { UsageError } from "../../command-line/options.js";
import { validPolicies } from "../../command-line/policies-input.js";
import { PUBLISHED_OPTIONS, withPublished } from "../../command-line/published.js";
import { redisUrl } from "../../command-line/store-options.js";
import { terminalOf } from "../../terminal/terminal.js";
import { diffText } from "./diff-text.js";

/** `sluice policies diff`: by rule, plan and override. */
export const policiesDiffCommand = defineCommand({
  usage: "sluice policies diff OLD NEW | sluice policies diff NEW --redis URL [options]",
  description: `Shows what a document changes in another one, or in the one that is published: by rule, plan and
override, field by field. Comments are shown too, though they change no limit; the order of rules is not.

The exit code is 0, whether something has changed or not.`,
  options: {
    ...PUBLISHED_OPTIONS,
    json: { type: "boolean", help: "Print the changes as one JSON object, and nothing else." },
  },
  examples: [
    "sluice policies diff policies.yaml new.yaml",
    "sluice policies diff new.yaml --redis redis://127.0.0.1:6379",
  ],
  async run(values, files, io) {
    const [first, second, third] = files;
    if (first === undefined || third !== undefined) {
      throw new UsageError("OLD and NEW are needed, or NEW and --redis");
    }
    if (second === undefined && redisUrl(values, io.env) === undefined) {
      throw new UsageError("NEW is missing, or --redis to compare with what is published");
    }
    const after = await validPolicies(second ?? first, io);
    const before =
      second === undefined
        ? await withPublished(
            values,
            io.env,
            async ({ published }) => (await published.read())?.document,
          )
        : await validPolicies(first, io);
    const changes = diffPolicies(before, after);
    if (values.json) io.stdout.write(`${JSON.stringify({ changes })}\n`);
    else {
      const terminal = terminalOf(io.stdout, io.env);
      terminal.say(diffText(changes, terminal));
    }
    return EXIT.ok;
  },
});
