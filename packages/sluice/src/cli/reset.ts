/** `sluice reset`: gives a key its full quota back. */
import { keyId } from "../audit/index.js";
import { defineCommand, EXIT } from "./command.js";
import { formatCount } from "./format.js";
import { KEY_OPTIONS, withKey } from "./key-command.js";
import { terminalOf } from "./terminal.js";

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
    await withKey(
      values,
      positionals,
      io.env,
      async ({ key, slot, shown, policies, limiter, place }) => {
        await limiter.reset(key, { slot });
        if (values.json) {
          const result = { key, slot, keyId: keyId(key), policies, reset: true };
          io.stdout.write(`${JSON.stringify(result)}\n`);
        } else {
          const text = `key ${shown} on ${place}: reset, under ${formatCount(policies.length, "policy")}`;
          terminalOf(io.stdout, io.env).say(`${text}\n`);
        }
      },
    );
    return EXIT.ok;
  },
});
