/** `sluice policies push`: publishes a document for all processes. */
import { diffPolicies, type RuleChange } from "sluice/policies";
import { defineCommand, EXIT, type ExitCode } from "../../command-line/command.js";
import { numberOption, UsageError } from "../../command-line/options.js";
import { validPolicies } from "../../command-line/policies-input.js";
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
import { type Io, terminalOf } from "../../terminal/terminal.js";
import { diffText } from "./diff-text.js";

interface PushResult {
  readonly published: boolean;
  /** The version in force afterwards. */
  readonly version: number;
  readonly expected: number | undefined;
  readonly changes: readonly RuleChange[];
}

/** `sluice policies push`: shows what changes, and publishes it if the expected version is in force. */
export const policiesPushCommand = defineCommand({
  usage: "sluice policies push FILE --expect VERSION --redis URL [options]",
  description: `Publishes a document for all processes that follow it, and shows what that changes. They have it after a second
at most.

--expect is the version that it takes the place of, which \`sluice policies pull\` and \`diff\` have shown; 0 for
the first. Where another version is in force, because somebody else has published meanwhile, nothing
is published and the exit code is 1. Without --expect nothing is published: the changes are shown,
and the version to expect; the exit code is 2.`,
  options: {
    ...PUBLISHED_OPTIONS,
    expect: { type: "string", value: "VERSION", help: "The version that it takes the place of." },
    ...NOTE_OPTIONS,
    json: { type: "boolean", help: "Print the result as one JSON object, and nothing else." },
  },
  examples: [
    "sluice policies push new.yaml --redis redis://127.0.0.1:6379",
    'sluice policies push new.yaml --expect 41 --comment "halve login" --redis redis://127.0.0.1:6379',
  ],
  async run(values, [file, extra], io) {
    if (file === undefined) throw new UsageError("FILE is missing; - is standard input");
    noMore(extra);
    const expected =
      values.expect === undefined
        ? undefined
        : numberOption("expect", values.expect, { min: 0, whole: true });
    const document = await validPolicies(file, io);
    return withPublished(values, io.env, async (access) => {
      const current = await inForce(access.published);
      const changes = diffPolicies(current.document, document);
      if (!values.json) {
        const terminal = terminalOf(io.stdout, io.env);
        terminal.say(diffText(changes, terminal));
      }
      const tell = (published: boolean, version: number): void => {
        if (!values.json) return;
        const result: PushResult = { published, version, expected, changes };
        io.stdout.write(`${JSON.stringify(result)}\n`);
      };
      const { version } = current;
      if (expected === undefined) {
        tell(false, version);
        const now = version === 0 ? "nothing is published yet" : `version ${version} is in force`;
        return refuse(
          `nothing was published: ${now}. To publish this, add --expect ${version}`,
          EXIT.usage,
          io,
        );
      }
      if (expected === version && changes.length === 0) {
        tell(false, version);
        if (!values.json) terminalOf(io.stdout, io.env).say(`version ${version} stays in force\n`);
        return EXIT.ok;
      }
      try {
        const note = noteFrom(values, io.env);
        const now = await access.published.publish(document, { expected, ...note });
        tell(true, now);
        if (!values.json) {
          terminalOf(io.stdout, io.env).say(
            `published ${access.place}: version ${now}, after ${expected}\n`,
          );
        }
        return EXIT.ok;
      } catch (error) {
        if (!isConflict(error)) throw error;
        tell(false, error.version);
        return refuse(await conflictText(access, expected, error.version), EXIT.failed, io);
      }
    });
  },
});

function refuse(text: string, code: ExitCode, io: Io): ExitCode {
  terminalOf(io.stderr, io.env).say(`sluice: ${text}\n`);
  return code;
}
