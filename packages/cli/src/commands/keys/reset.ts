/** `sluice reset`: gives a key its full quota back. */
import { keyId } from "sluice/audit";
import { defineCommand, EXIT, type ExitCode } from "../../command-line/command.js";
import type { OptionValues } from "../../command-line/options.js";
import { formatCount } from "../../terminal/format.js";
import { type Io, terminalOf } from "../../terminal/terminal.js";
import { KEY_OPTIONS, SEMAPHORE_OPTION, tellDone, withKey, withSemaphore } from "./key-command.js";

/** `sluice reset`: gives a key its full quota back and lifts its block. */
export const resetCommand = defineCommand({
  usage: "sluice reset <key> (--limit … | --policy JSON | --semaphore) --redis URL [options]",
  description: `Forgets what a key has used, and any block on it: it has its full quota at once. The policy, its
name and the namespace must be those of the limiter in question: they say where its state is. Of a semaphore all permits
are ended; their holders learn of it when they renew.`,
  options: { ...KEY_OPTIONS, ...SEMAPHORE_OPTION },
  examples: [
    "sluice reset user:42 --limit 10 --period 1s --redis redis://127.0.0.1:6379",
    "SLUICE_REDIS_URL=redis://127.0.0.1:6379 sluice reset user:42 --algorithm gcra --limit 5 --period 1s --json",
    "sluice reset api.example.com --semaphore --limit 5 --redis redis://127.0.0.1:6379",
  ],
  async run(values, positionals, io) {
    if (values.semaphore) return resetSemaphore(values, positionals, io);
    await withKey(values, positionals, io.env, async (access) => {
      await access.limiter.reset(access.key, { slot: access.slot });
      tellDone(access, values, io, { text: "reset", result: { reset: true } });
    });
    return EXIT.ok;
  },
});

async function resetSemaphore(
  values: OptionValues<typeof KEY_OPTIONS>,
  positionals: readonly string[],
  io: Io,
): Promise<ExitCode> {
  await withSemaphore(values, positionals, io.env, async (access) => {
    const { key, slot, shown, place, name, semaphore } = access;
    const ended = await semaphore.reset(key, { slot });
    if (values.json) {
      const result = { key, slot, keyId: keyId(key), semaphore: name, reset: true, ended };
      io.stdout.write(`${JSON.stringify(result)}\n`);
      return;
    }
    const text = `key ${shown} on ${place}: reset, ${formatCount(ended, "permit")} ended`;
    terminalOf(io.stdout, io.env).say(`${text}, of semaphore ${JSON.stringify(name)}\n`);
  });
  return EXIT.ok;
}
