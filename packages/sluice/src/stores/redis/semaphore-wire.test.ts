/** Which commands go to the server as one, and how its reply is told to each. */
import { describe, expect, test } from "vitest";
import { SEMAPHORE_VERBS, type SemaphoreCommand } from "../../algorithms/semaphore/kernel.js";
import { decodeSemaphores, encodeSemaphores, type KeyedCommand } from "./semaphore-wire.js";
import { WRONG_TYPE } from "./wire.js";

const { acquire, tryAcquire, renew, release, revoke, inspect, setLimit, holders, waiters } =
  SEMAPHORE_VERBS;
const terms = { leaseUs: 30, claimUs: 7, waitUs: 18 };

/** A command on a key, with an entry for each id. */
function command(
  id: string,
  verb: SemaphoreCommand["verb"],
  ids: readonly string[],
  other: Partial<SemaphoreCommand> = {},
): KeyedCommand {
  const entries = ids.map((each) => ({ id: each, number: 1 }));
  return {
    key: { keyspace: "s", id },
    command: { verb, limit: 5, terms, channel: "", entries, ...other },
  };
}

/** Ids of the entries of each command as it is sent, with its key's place and its verb. */
function sent(commands: readonly KeyedCommand[]): string[] {
  const { args } = encodeSemaphores(commands, undefined);
  const found: string[] = [];
  for (let at = 1; at < args.length; ) {
    const count = Number(args[at + 7]);
    const ids = Array.from({ length: count }, (_, i) => args[at + 8 + 2 * i]);
    found.push(`${args[at]} ${args[at + 1]} ${ids.join()}`);
    at += 8 + 2 * count;
  }
  return found;
}

describe("commands go as one", () => {
  test.each([
    ["acquire", acquire],
    ["tryAcquire", tryAcquire],
    ["renew", renew],
    ["release", release],
    ["revoke", revoke],
  ])("where they %s on one key, others between", (_, verb) => {
    const commands = [command("k", verb, ["a"]), command("l", verb, ["b"])];
    const all = [...commands, command("k", verb, ["c", "d"])];
    expect(sent(all)).toEqual([`1 ${verb} a,c,d`, `2 ${verb} b`]);
  });

  test.each<[string, Partial<SemaphoreCommand>]>([
    ["limits", { limit: 6 }],
    ["channels", { channel: "c" }],
    ["leases", { terms: { ...terms, leaseUs: 31 } }],
    ["claims", { terms: { ...terms, claimUs: 8 } }],
    ["waits", { terms: { ...terms, waitUs: 19 } }],
  ])("but not under other %s", (_, other) => {
    const commands = [command("k", acquire, ["a"]), command("k", acquire, ["b"], other)];
    expect(sent(commands)).toHaveLength(2);
  });

  test("but not past another verb on their key", () => {
    const commands = [
      command("k", release, ["a"]),
      command("k", acquire, ["b"]),
      command("k", release, ["c"]),
    ];
    expect(sent(commands)).toEqual([`1 ${release} a`, `1 ${acquire} b`, `1 ${release} c`]);
  });

  test.each([holders, waiters])("but not where an entry is a place in a list: verb %i", (verb) => {
    expect(sent([command("k", verb, ["a"]), command("k", verb, ["b"])])).toHaveLength(2);
  });

  test.each([inspect, setLimit])("but not where they name no entry: verb %i", (verb) => {
    expect(sent([command("k", verb, []), command("k", verb, [])])).toHaveLength(2);
  });
});

describe("the reply to commands that went as one", () => {
  const commands = [
    command("k", acquire, ["a"]),
    command("l", acquire, ["x"]),
    command("k", acquire, ["b", "c"]),
  ];
  const { joined } = encodeSemaphores(commands, 1);
  const ofK = [0, 9, 5, 3, 0, 2, 101, 31, 2, 102, 32, 2, 103, 33];

  test("is told to each by its entries", () => {
    const outcomes = decodeSemaphores(commands, joined, [77, ...ofK, 0, -1, 5, 1, 0, 3, 0, 0]);
    const head = { nowUs: 77, nextUs: 9, limit: 5, held: 3, waiting: 0 };
    const held = (number: number, untilUs: number) => ({ outcome: 2, number, untilUs });
    expect(outcomes).toEqual([
      { ...head, entries: [held(101, 31)] },
      { ...head, nextUs: -1, held: 1, entries: [{ outcome: 3, number: 0, untilUs: 0 }] },
      { ...head, entries: [held(102, 32), held(103, 33)] },
    ]);
  });

  test("is an error of each where it is one of the key", () => {
    const outcomes = decodeSemaphores(commands, joined, [77, WRONG_TYPE, 0, -1, 5, 1, 0, 3, 0, 0]);
    expect(outcomes.map((outcome) => outcome instanceof Error)).toEqual([true, false, true]);
  });

  test.each([
    ["shorter", [77, ...ofK, 0, -1, 5, 1, 0, 3, 0]],
    ["longer", [77, ...ofK, 0, -1, 5, 1, 0, 3, 0, 0, 0]],
    ["no list", "OK"],
  ])("is refused where it is %s", (_, reply) => {
    expect(() => decodeSemaphores(commands, joined, reply)).toThrow("does not fit");
  });
});
