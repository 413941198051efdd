/** What one server's facts mean for limits kept on it. Pure: each function takes the facts and returns findings. */
import { finding, type StoreFinding } from "./finding.js";
import type { ServerFacts, Timing } from "./server-facts.js";

/** What is known besides of the store that is checked. */
export interface StoreContext {
  /** Whether the store's options say that it talks to a Cluster. */
  readonly isCluster: boolean;
}

type Judge = (facts: ServerFacts, context: StoreContext) => readonly StoreFinding[];

/** All that a server's facts say. */
export function judgeServer(facts: ServerFacts, context: StoreContext): readonly StoreFinding[] {
  return JUDGES.flatMap((judge) => judge(facts, context));
}

/** The oldest versions: on which Sluice runs, and which their makers still mend. */
const OLDEST = [6, 2] as const;
const OLDEST_MENDED = { Redis: [7, 2], Valkey: [7, 2] } as const;

/** Whether the server is one that clients tell their names: since Redis 7.2. */
export function knowsClientNames({ info }: ServerFacts): boolean {
  return !isBefore(versionOf(info.get("redis_version") ?? "0"), [7, 2]);
}

function server({ info }: ServerFacts): readonly StoreFinding[] {
  const valkey = info.get("valkey_version");
  const redis = info.get("redis_version");
  const name = valkey === undefined ? "Redis" : "Valkey";
  const version = valkey ?? redis;
  if (version === undefined) return [];
  const said = `${name} ${version}`;
  if (isBefore(versionOf(redis ?? version), OLDEST)) {
    return [finding("server", "error", `${said} is too old: Sluice needs Redis 6.2 or Valkey.`)];
  }
  if (isBefore(versionOf(version), OLDEST_MENDED[name])) {
    const text = `${said} gets no fixes from its makers any more; a distribution may still mend it. All of Sluice works on it.`;
    return [finding("server", "note", text)];
  }
  return [finding("server", "ok", `${said}.`)];
}

function versionOf(text: string): readonly number[] {
  return text.split(".").map(Number);
}

function isBefore(
  [major = 0, minor = 0]: readonly number[],
  [otherMajor, otherMinor]: readonly [number, number],
): boolean {
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

function eviction({ info }: ServerFacts): readonly StoreFinding[] {
  const policy = info.get("maxmemory_policy");
  if (policy === undefined) return [];
  if (policy === "noeviction") {
    return [finding("eviction", "ok", "maxmemory-policy noeviction: no quota is lost.")];
  }
  const limit = info.get("maxmemory") === "0" ? ", once maxmemory is set," : "";
  if (policy === "volatile-ttl") {
    const text = `maxmemory-policy volatile-ttl: when memory is full${limit} the keys that end soonest go, and have their full quota back. noeviction loses none.`;
    return [finding("eviction", "note", text)];
  }
  const text = `maxmemory-policy ${policy}: when memory is full${limit} blocks, debts and counts are dropped, and limits do not hold. Set noeviction, or volatile-ttl, on a server of Sluice's own.`;
  return [finding("eviction", "warning", text)];
}

/** From which share of maxmemory on there is something to say. */
const NEARLY_FULL = 0.9;

function memory({ info }: ServerFacts): readonly StoreFinding[] {
  const used = Number(info.get("used_memory"));
  const most = Number(info.get("maxmemory"));
  if (Number.isNaN(used) || Number.isNaN(most)) return [];
  if (most === 0) {
    const text =
      "maxmemory is not set: a flood of made-up identities grows the server until the machine is full. Set it to twice what you estimate.";
    return [finding("memory", "note", text)];
  }
  const share = `${Math.floor((used / most) * 100)} % of maxmemory is in use`;
  if (used < most * NEARLY_FULL) return [finding("memory", "ok", `${share}.`)];
  const then =
    info.get("maxmemory_policy") === "noeviction"
      ? "when it is full, writes fail, and calls are answered by onStoreFailure"
      : "when it is full, keys are evicted";
  return [finding("memory", used < most ? "warning" : "error", `${share}: ${then}.`)];
}

/** How far clocks may be apart before it is worth a word, beyond the error of the measurement. */
const NOTED_OFFSET_MS = 100;
const HARMFUL_OFFSET_MS = 2000;

function clock({ timing }: ServerFacts): readonly StoreFinding[] {
  if (timing === undefined) return [];
  const { offsetMs, uncertaintyMs } = timing;
  const surely = Math.max(0, Math.abs(offsetMs) - uncertaintyMs);
  const said = `The server's clock is ${milliseconds(Math.abs(offsetMs))} ${offsetMs < 0 ? "behind" : "ahead of"} this process's, ± ${milliseconds(uncertaintyMs)}`;
  if (surely <= NOTED_OFFSET_MS) return [finding("clock", "ok", `${said}.`)];
  const text = `${said}. Limits are kept by the server's clock alone; windows of the clock and the calendar turn over by it, and what this process answers without the store goes by its own.`;
  return [finding("clock", surely <= HARMFUL_OFFSET_MS ? "note" : "warning", text)];
}

/** By default a limiter waits 250 ms for the store. */
const SLOW_MS = 50;
const TOO_SLOW_MS = 250;

function roundTrip({ timing }: ServerFacts): readonly StoreFinding[] {
  if (timing === undefined) return [];
  const [p50, p99] = [percentile(timing, 0.5), percentile(timing, 0.99)];
  const said = `A round trip takes ${milliseconds(p50)} (p50), ${milliseconds(p99)} (p99 of ${timing.tripsMs.length})`;
  if (p99 < SLOW_MS) return [finding("round-trip", "ok", `${said}.`)];
  if (p50 >= TOO_SLOW_MS) {
    const text = `${said}: more than a limiter's default timeout of 250 ms, so calls are answered without the store. Use a server that is nearer, or a longer timeout.`;
    return [finding("round-trip", "error", text)];
  }
  const text = `${said}: of a limiter's timeout, 250 ms by default, little is left for a busy server.`;
  return [finding("round-trip", "warning", text)];
}

function percentile({ tripsMs }: Timing, share: number): number {
  return tripsMs[Math.min(tripsMs.length - 1, Math.floor(tripsMs.length * share))] ?? 0;
}

/** Three digits. */
function milliseconds(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : `${Number(ms.toPrecision(3))} ms`;
}

function role({ info }: ServerFacts): readonly StoreFinding[] {
  if (info.get("loading") === "1") {
    return [finding("role", "error", "The server is loading its data: calls fail until it has.")];
  }
  if (info.get("role") !== "slave") return [];
  const master = `${info.get("master_host") ?? "?"}:${info.get("master_port") ?? "?"}`;
  const text =
    info.get("slave_read_only") === "0"
      ? `This is a replica of ${master} that takes writes, which the next synchronization undoes: point Sluice at the master.`
      : `This is a read-only replica of ${master}: every call that would write fails. Point Sluice at the master, or use a client that asks the Sentinels.`;
  return [finding("role", "error", text)];
}

function replicas({ info, config }: ServerFacts): readonly StoreFinding[] {
  const count = Number(info.get("connected_slaves"));
  if (info.get("role") !== "master" || Number.isNaN(count)) return [];
  const required = config.get("min-replicas-to-write");
  const isRequired =
    required === undefined ? info.has("min_slaves_good_slaves") : Number(required) > 0;
  const good = info.get("min_slaves_good_slaves");
  if (isRequired && good !== undefined && Number(good) < Number(required ?? 1)) {
    const text = `Too few replicas are near enough (${good}) for min-replicas-to-write: writes are refused, and calls are answered by onStoreFailure.`;
    return [finding("replicas", "error", text)];
  }
  if (count === 0) {
    const text =
      "No replica: when this server is lost, so are the counts, one burst or window a key.";
    return [finding("replicas", "note", text)];
  }
  const said = `${count} ${count === 1 ? "replica" : "replicas"}`;
  if (isRequired) return [finding("replicas", "ok", `${said}, and min-replicas-to-write is set.`)];
  const text = `${said}, and min-replicas-to-write is not set: a master that was cut off goes on admitting beside the new one. Set min-replicas-to-write 1 and min-replicas-max-lag 10.`;
  return [finding("replicas", "note", text)];
}

function persistence({ info, config }: ServerFacts): readonly StoreFinding[] {
  const aof = info.get("aof_enabled");
  if (aof === undefined) return [];
  if (info.get("rdb_last_bgsave_status") === "err") {
    const text =
      "The last snapshot failed: with stop-writes-on-bgsave-error, which is the default, the server refuses writes (MISCONF) until one succeeds.";
    return [finding("persistence", "error", text)];
  }
  if (aof === "1" && info.get("aof_last_write_status") === "err") {
    const text = "The append-only file cannot be written: the server refuses writes until it can.";
    return [finding("persistence", "error", text)];
  }
  if (aof === "1") {
    return [finding("persistence", "ok", "An append-only file: a restart loses a second at most.")];
  }
  const saves = config.get("save");
  const kept = saves === "" ? "Nothing is kept on disk" : "No append-only file";
  const lost = saves === "" ? "all counts and blocks" : "what came after the last snapshot";
  const text = `${kept}: a restart forgets ${lost}, one burst or window a key. That is fine for most limits, not for blocks and months' quotas.`;
  return [finding("persistence", "note", text)];
}

/** A batch of 256 decisions takes less than a millisecond; a busy machine may take longer. */
const SHORTEST_SCRIPT_MS = 100;

function scripts({ config }: ServerFacts): readonly StoreFinding[] {
  const limit = Number(config.get("busy-reply-threshold") ?? config.get("lua-time-limit"));
  if (Number.isNaN(limit) || limit <= 0 || limit >= SHORTEST_SCRIPT_MS) return [];
  const text = `busy-reply-threshold is ${limit} ms: a script that takes longer makes the server answer everybody with BUSY. The default of 5000 is right.`;
  return [finding("scripts", "warning", text)];
}

const SLOTS = 16_384;

function cluster(
  { info, cluster: state, config }: ServerFacts,
  { isCluster }: StoreContext,
): readonly StoreFinding[] {
  const isEnabled = info.get("cluster_enabled");
  if (!isCluster) {
    if (isEnabled !== "1") return [];
    const text =
      "The server is a node of a Cluster, and the store was not told: calls on keys of other nodes fail. Pass cluster: true, or --cluster.";
    return [finding("cluster", "error", text)];
  }
  if (isEnabled === "0") {
    const text = "The server is no node of a Cluster: leave out cluster: true, or --cluster.";
    return [finding("cluster", "error", text)];
  }
  const assigned = Number(state.get("cluster_slots_assigned"));
  if (Number.isNaN(assigned)) return [];
  if (assigned < SLOTS) {
    const text = `${SLOTS - assigned} of ${SLOTS} slots belong to no node: calls on their keys fail.`;
    return [finding("cluster", "error", text)];
  }
  const failed = Number(state.get("cluster_slots_fail")) + Number(state.get("cluster_slots_pfail"));
  if (state.get("cluster_state") !== "ok" || failed > 0) {
    const text = `The Cluster's state is ${state.get("cluster_state") ?? "unknown"}, and ${failed} slots have a node that does not answer.`;
    return [finding("cluster", "error", text)];
  }
  if (config.get("cluster-require-full-coverage") === "yes") {
    const text =
      "All slots are covered. With cluster-require-full-coverage yes every call fails while one master is down; no keeps the others in service.";
    return [finding("cluster", "note", text)];
  }
  return [finding("cluster", "ok", `All ${SLOTS} slots are covered.`)];
}

const JUDGES: readonly Judge[] = [
  server,
  role,
  eviction,
  memory,
  clock,
  roundTrip,
  replicas,
  persistence,
  scripts,
  cluster,
];
