/** `sluice inspect`: shows what a key has left. */
import type { Decision } from "sluice";
import { keyId } from "sluice/audit";
import { describePolicy } from "sluice/describe";
import { defineCommand, EXIT, type ExitCode } from "../../command-line/command.js";
import { numberOption, type OptionValues, UsageError } from "../../command-line/options.js";
import { bar } from "../../terminal/bar.js";
import { formatNumber, formatTime } from "../../terminal/format.js";
import { type Io, type Terminal, terminalOf } from "../../terminal/terminal.js";
import { LEFT_COLUMNS, verdictLines } from "../../terminal/verdict.js";
import {
  KEY_OPTIONS,
  type KeyAccess,
  SEMAPHORE_OPTION,
  withKey,
  withSemaphore,
} from "./key-command.js";

/** `sluice inspect`: what a key has left, without taking any of it. */
export const inspectCommand = defineCommand({
  usage: "sluice inspect <key> (--limit … | --policy JSON | --semaphore) --redis URL [options]",
  description: `Shows what a key has left under a policy or in a semaphore, and changes nothing. The policy, its name and the
namespace must be those of the limiter in question: they say where its state is and what it means.`,
  options: {
    ...KEY_OPTIONS,
    cost: { type: "string", value: "N", help: "The cost to ask about (default 1)." },
    ...SEMAPHORE_OPTION,
  },
  examples: [
    "sluice inspect user:42 --limit 10 --period 1s --redis redis://127.0.0.1:6379",
    `sluice inspect user:42 --policy '{"algorithm":"sliding-log","limit":5,"window":"15m"}'`,
    "sluice inspect api.example.com --semaphore --limit 5 --redis redis://127.0.0.1:6379",
  ],
  async run(values, positionals, io) {
    if (values.semaphore) return inspectSemaphore(values, positionals, io);
    const cost = numberOption("cost", values.cost ?? "1", { min: 0 });
    await withKey(values, positionals, io.env, async (access) => {
      const decision = await access.limiter.peek(access.key, { cost, slot: access.slot });
      if (values.json) io.stdout.write(`${JSON.stringify(toJson(access, cost, decision))}\n`);
      else report(access, cost, decision, terminalOf(io.stdout, io.env));
    });
    return EXIT.ok;
  },
});

async function inspectSemaphore(
  values: OptionValues<typeof KEY_OPTIONS> & { readonly cost: string | undefined },
  positionals: readonly string[],
  io: Io,
): Promise<ExitCode> {
  if (values.cost !== undefined) throw new UsageError("--cost belongs to a policy");
  await withSemaphore(values, positionals, io.env, async (access) => {
    const { key, slot, shown, place, name, semaphore } = access;
    const { holders, ...usage } = await semaphore.list(key, { slot });
    if (values.json) {
      // JSON has no numbers as long as a token may be.
      const permits = holders.map((each) => ({ ...each, fencingToken: `${each.fencingToken}` }));
      const result = { key, slot, keyId: keyId(key), semaphore: name, ...usage, holders: permits };
      io.stdout.write(`${JSON.stringify(result)}\n`);
      return;
    }
    const { limit, held, waiting, waiters } = usage;
    const terminal = terminalOf(io.stdout, io.env);
    terminal.say(`key ${terminal.paint("bold", shown)} on ${place}\n`);
    terminal.say(`\nsemaphore ${JSON.stringify(name)}\n`);
    const inUse = `${formatNumber(held)} of ${formatNumber(limit)} held`;
    terminal.say(
      `  ${bar(held / limit, LEFT_COLUMNS, terminal)}  ${inUse}, ${formatNumber(waiting)} waiting\n`,
    );
    for (const { fencingToken, weight, sinceUs, untilUs } of holders) {
      const times = `since ${formatTime(sinceUs)}, lease until ${formatTime(untilUs)} UTC`;
      terminal.say(`  permit ${fencingToken}, weight ${formatNumber(weight)}: ${times}\n`);
    }
    for (const { weight, sinceUs } of waiters) {
      terminal.say(`  waiting, weight ${formatNumber(weight)}: since ${formatTime(sinceUs)} UTC\n`);
    }
  });
  return EXIT.ok;
}

function toJson({ key, slot, policies }: KeyAccess, cost: number, decision: Decision): object {
  return { key, slot, keyId: keyId(key), policies, cost, decision };
}

function report(access: KeyAccess, cost: number, decision: Decision, terminal: Terminal): void {
  const { shown, policies, place } = access;
  const verdicts = decision.policies ?? [decision];
  terminal.say(`key ${terminal.paint("bold", shown)} on ${place}\n`);
  terminal.say(`at  ${formatTime(decision.decidedAtUs)} UTC, by the store's clock\n`);
  policies.forEach((policy, index) => {
    const verdict = verdicts[index];
    if (verdict === undefined) return;
    terminal.say(`\n${describePolicy(policy)}\n`);
    for (const line of verdictLines(verdict, cost, terminal)) terminal.say(`  ${line}\n`);
  });
}
