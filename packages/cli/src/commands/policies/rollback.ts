/** `sluice policies rollback`: publishes an earlier version again. */
import { diffPolicies } from "sluice/policies";
import { defineCommand, EXIT } from "../../command-line/command.js";
import { UsageError } from "../../command-line/options.js";
import {
  conflictText,
  inForce,
  isConflict,
  noMore,
  NOTE_OPTIONS,
  noteFrom,
  PUBLISHED_OPTIONS,
  withPublished,
} from "../../command-line/published.js";
import { terminalOf } from "../../terminal/terminal.js";
import { diffText } from "./diff-text.js";

/** `sluice policies rollback`: at once, as a new version. */
export const policiesRollbackCommand = defineCommand({
  usage: "sluice policies rollback VERSION --redis URL [options]",
  description: `Publishes an earlier version again, as a new one, and shows what that changes. Where somebody
publishes in the same moment, nothing is published and the exit code is 1.`,
  options: {
    ...PUBLISHED_OPTIONS,
    ...NOTE_OPTIONS,
    json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
  },
  examples: ["sluice policies rollback 41 --redis redis://127.0.0.1:6379"],
  async run(values, [text, extra], io) {
    if (text === undefined) {
      throw new UsageError("VERSION is missing: sluice policies history lists them");
    }
    noMore(extra);
    const target = /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
    if (target === undefined) throw new UsageError(`VERSION is a number such as 41, not ${text}`);
    return withPublished(values, io.env, async (access) => {
      const { published, place } = access;
      const [current, earlier] = [await inForce(published), await published.read(target)];
      const say = (line: string): void => {
        terminalOf(io.stderr, io.env).say(`sluice: ${line}\n`);
      };
      if (earlier === undefined) {
        say(`version ${target} is not kept as ${place}: sluice policies history lists the last 20`);
        return EXIT.failed;
      }
      const changes = diffPolicies(current.document, earlier.document);
      const expected = current.version;
      try {
        const version = await published.rollback(target, { expected, ...noteFrom(values, io.env) });
        if (values.json) {
          io.stdout.write(
            `${JSON.stringify({ published: true, version, of: target, expected, changes })}\n`,
          );
        } else {
          const terminal = terminalOf(io.stdout, io.env);
          terminal.say(diffText(changes, terminal));
          terminal.say(
            `published ${place}: version ${version}, which is version ${target} again\n`,
          );
        }
        return EXIT.ok;
      } catch (error) {
        if (!isConflict(error)) throw error;
        say(await conflictText(access, expected, error.version));
        return EXIT.failed;
      }
    });
  },
});
