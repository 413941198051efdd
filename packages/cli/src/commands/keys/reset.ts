/** `sluice reset`: gives a key its full quota back. */
import { defineCommand, EXIT } from "../../command-line/command.js";
import { KEY_OPTIONS, tellDone, withKey } from "./key-command.js";

/** `sluice reset`: gives a key its full quota back and lifts its block. */
export const resetCommand = defineCommand({
  usage: "sluice reset <key> (--limit … | --policy JSON) --redis URL [options]",
  description: `Forgets what a key has used, and any block on it: it has its full quota at once. The policy, its
name and the namespace must be those of the limiter in question: they say where its state is.`,
  options: KEY_OPTIONS,
  examples: [
    "sluice reset user:42 --limit 10 --period 1s --redis redis://127.0.0.1:6379",
    "SLUICE_REDIS_URL=redis://127.0.0.1:6379 sluice reset user:42 --algorithm gcra --limit 5 --period 1s --json",
  ],
  async run(values, positionals, io) {
    await withKey(values, positionals, io.env, async (access) => {
      await access.limiter.reset(access.key, { slot: access.slot });
      tellDone(access, values, io, { text: "reset", result: { reset: true } });
    });
    return EXIT.ok;
  },
});
