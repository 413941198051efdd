/** `sluice block` and `sluice unblock`: deny a key for a while, whatever it has left, and lift that. */
import { defineCommand, EXIT } from "../../command-line/command.js";
import { durationOption, UsageError } from "../../command-line/options.js";
import { formatSpan } from "../../terminal/format.js";
import {
  KEY_OPTIONS,
  refuseSemaphore,
  SEMAPHORE_OPTION,
  tellDone,
  withKey,
} from "./key-command.js";

const EXAMPLE = "user:42 --limit 10 --period 1s --redis redis://127.0.0.1:6379";
const PLACE = `The policy, its name and the namespace must be those of the
limiter in question: they say where its state is.`;

const REFUSED_OPTION = {
  semaphore: { ...SEMAPHORE_OPTION.semaphore, help: "Refused: semaphores have no blocks." },
} as const;

/** `sluice block`: denies a key for a while. */
export const blockCommand = defineCommand({
  usage: "sluice block <key> --for TIME (--limit … | --policy JSON) --redis URL [options]",
  description: `Denies every call on a key until the time is over. ${PLACE}`,
  options: {
    ...KEY_OPTIONS,
    ...REFUSED_OPTION,
    for: { type: "string", value: "TIME", help: 'How long, such as 1h, or "ever": until unblock.' },
    reset: { type: "boolean", help: "Forget what the key has used, too." },
  },
  examples: [`sluice block ${EXAMPLE} --for 1h`],
  async run(values, positionals, io) {
    refuseSemaphore(values);
    if (values.for === undefined) throw new UsageError("--for is missing: how long, such as 1h");
    const ms = values.for === "ever" ? Number.POSITIVE_INFINITY : durationOption("for", values.for);
    await withKey(values, positionals, io.env, async (access) => {
      await access.limiter.block(access.key, ms, { slot: access.slot, reset: values.reset });
      const span =
        ms === Number.POSITIVE_INFINITY ? "until unblocked" : `for ${formatSpan(ms * 1000)}`;
      // JSON has no infinity.
      const blockedMs = ms === Number.POSITIVE_INFINITY ? null : ms;
      tellDone(access, values, io, { text: `blocked ${span}`, result: { blockedMs } });
    });
    return EXIT.ok;
  },
});

/** `sluice unblock`: lifts a key's block. */
export const unblockCommand = defineCommand({
  usage: "sluice unblock <key> (--limit … | --policy JSON) --redis URL [options]",
  description: `Lifts any block on a key, and leaves what it has used. ${PLACE}`,
  options: { ...KEY_OPTIONS, ...REFUSED_OPTION },
  examples: [`sluice unblock ${EXAMPLE}`],
  async run(values, positionals, io) {
    refuseSemaphore(values);
    await withKey(values, positionals, io.env, async (access) => {
      await access.limiter.unblock(access.key, { slot: access.slot });
      tellDone(access, values, io, { text: "unblocked", result: { unblocked: true } });
    });
    return EXIT.ok;
  },
});
