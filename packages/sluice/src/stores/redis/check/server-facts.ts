/** Asks one server what it is, how it is set up, and how long it takes to answer. */
import { monotonicMs, systemClock } from "../../../core/clock.js";
import type { ServerLink } from "../clients/client.js";

/** What one server says of itself. */
export interface ServerFacts {
  readonly address: string;
  /** Of INFO, by the names of its fields; empty if it was refused. */
  readonly info: ReadonlyMap<string, string>;
  /** Of CLUSTER INFO; empty if it was refused, and without a Cluster. */
  readonly cluster: ReadonlyMap<string, string>;
  /** Of CONFIG GET, those that the server returned. */
  readonly config: ReadonlyMap<string, string>;
  readonly timing: Timing | undefined;
  /** Commands to which there was no answer that can be used, such as "info". */
  readonly refused: readonly string[];
}

/** How far the server's clock is from this process's, and how long it takes to answer. */
export interface Timing {
  /** Round trips in ms, the shortest first. */
  readonly tripsMs: readonly number[];
  /** How far the server's clock is ahead; negative = behind. */
  readonly offsetMs: number;
  /** The offset is right to so much, either way. */
  readonly uncertaintyMs: number;
}

const CONFIG_NAMES = [
  "busy-reply-threshold",
  "lua-time-limit",
  "min-replicas-to-write",
  "cluster-require-full-coverage",
  "save",
] as const;

/** Reads all of it; what is refused is left out, and listed. */
export async function readServerFacts(link: ServerLink, isCluster: boolean): Promise<ServerFacts> {
  const refused: string[] = [];
  const ask = async (command: readonly string[]): Promise<unknown> => {
    try {
      return await link.send(command);
    } catch {
      refused.push(command.slice(0, command[0] === "INFO" ? 1 : 2).join(" "));
      return undefined;
    }
  };
  const info = fieldsOf(await ask(["INFO"]));
  const cluster = isCluster ? fieldsOf(await ask(["CLUSTER", "INFO"])) : new Map<string, string>();
  const config = new Map<string, string>();
  for (const name of CONFIG_NAMES) {
    const reply = await ask(["CONFIG", "GET", name]);
    if (reply === undefined) break;
    for (const [key, value] of pairsOf(reply)) config.set(key, value);
  }
  const timing = await timingOf(() => link.send(["TIME"])).catch(() => {
    refused.push("TIME");
    return undefined;
  });
  return { address: link.address, info, cluster, config, timing, refused };
}

/** `name:value` a line, as INFO has it. */
function fieldsOf(reply: unknown): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of (typeof reply === "string" ? reply : "").split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** Names and values of CONFIG GET, which clients give as a list, a map or an object. */
function pairsOf(reply: unknown): readonly (readonly [string, string])[] {
  if (reply instanceof Map) return [...reply].map(([key, value]) => [String(key), String(value)]);
  if (!Array.isArray(reply)) {
    return Object.entries(reply as object).map(([key, value]) => [key, String(value)]);
  }
  const list: readonly unknown[] = reply;
  if (list.some((each) => typeof each === "object" && each !== null && "key" in each)) {
    return (list as readonly { key: unknown; value: unknown }[]).map(({ key, value }) => [
      String(key),
      String(value),
    ]);
  }
  return list.flatMap((key, i) =>
    i % 2 === 0 ? [[String(key), String(list[i + 1])] as const] : [],
  );
}

/** Trips measured at most, and how long that may take. */
const TRIPS = 50;
const MEASURED_MS = 1000;
/** The first trips may have to open a connection. */
const WARM_UP = 3;

/**
 * Asks for the time over and over. The shortest trip says most exactly how far the clocks are apart: the server read
 * its clock between the two readings of ours.
 */
export async function timingOf(time: () => Promise<unknown>): Promise<Timing> {
  const tripsMs: number[] = [];
  let best = { tripMs: Number.POSITIVE_INFINITY, offsetMs: 0 };
  const beganMs = monotonicMs();
  for (let i = 0; i < TRIPS + WARM_UP; i++) {
    const sentUs = systemClock.nowUs();
    const sentMs = monotonicMs();
    const serverUs = microseconds(await time());
    const tripMs = monotonicMs() - sentMs;
    if (i < WARM_UP) continue;
    tripsMs.push(tripMs);
    if (tripMs < best.tripMs) best = { tripMs, offsetMs: (serverUs - sentUs) / 1e3 - tripMs / 2 };
    if (monotonicMs() - beganMs > MEASURED_MS) break;
  }
  tripsMs.sort((a, b) => a - b);
  return { tripsMs, offsetMs: best.offsetMs, uncertaintyMs: best.tripMs / 2 };
}

/** TIME's seconds and microseconds. */
function microseconds(reply: unknown): number {
  const [seconds, micros] = reply as readonly unknown[];
  const us = Number(seconds) * 1e6 + Number(micros);
  if (Number.isFinite(us)) return us;
  throw new Error("the server does not tell its time");
}
