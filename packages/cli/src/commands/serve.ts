/** `sluice serve`: the same limits for every language and proxy, over HTTP. */
import { defineCommand, EXIT } from "../command-line/command.js";
import { endingOf } from "../command-line/ending.js";
import { type OptionSpec, UsageError } from "../command-line/options.js";
import { runService } from "../serve/run-service.js";
import { flagOf, type Setting, type SettingName, SETTINGS, variableOf } from "../serve/settings.js";

/** The settings that a command line may hold, by their flags. */
const FLAGS = (Object.entries(SETTINGS) as [SettingName, Setting][]).filter(
  ([, { flag }]) => flag !== false,
);

function optionOf(name: string, { kind, value, help, default: usual }: Setting): OptionSpec {
  const unless =
    usual === undefined ? "" : ` Default ${usual}${kind === "milliseconds" ? " ms" : ""}.`;
  return {
    type: kind === "switch" ? "boolean" : "string",
    ...(value !== undefined && { value }),
    help: `${help}${unless} Else ${variableOf(name)}.`,
  };
}

/** `sluice serve`: answers until it is told to end. */
export const serveCommand = defineCommand({
  usage: "sluice serve --policies FILE [--redis URL] [options]",
  description: `Decides over HTTP, by a document of policies: for services in other languages, and for proxies. SIGTERM or Ctrl-C
drains it: what it has taken is answered; SIGHUP reads the files of tokens and of the certificate again. The log is JSON, a line an event. See docs/service.md.`,
  options: Object.fromEntries(
    FLAGS.map(([name, setting]) => [flagOf(name), optionOf(name, setting)]),
  ),
  examples: [
    "sluice serve --policies policies.yaml",
    "sluice serve --policies policies.yaml --redis redis://127.0.0.1:6379 --listen 0.0.0.0:8088 --tokens-file tokens",
  ],
  async run(values, positionals, io) {
    const [other] = positionals;
    if (other !== undefined) throw new UsageError(`unexpected argument ${other}`);
    const given = FLAGS.map(([name]) => [name, values[flagOf(name)]] as const);
    // Else the list of processes shows the password of Redis to every user of the machine.
    if (String(values["redis"]).includes("@")) process.title = "sluice serve";
    const ending = endingOf(io);
    try {
      await runService(Object.fromEntries(given), {
        env: io.env,
        write: (line) => io.stdout.write(line),
        ended: ending.signal,
        onReload(reload) {
          process.on("SIGHUP", reload);
          return () => process.off("SIGHUP", reload);
        },
      });
    } finally {
      ending.release();
    }
    return EXIT.ok;
  },
});
