/** Whether a user of the server may run what Sluice runs: by ACL DRYRUN or, if that is not available, by trying. */
import { digests } from "../../../core/digest.js";
import type { RunScript, ServerLink } from "../clients/client.js";
import type { FindingId, FindingSeverity } from "./finding.js";

/** Some of what Sluice does, the commands that it needs for that, and what happens without them. */
export interface Need {
  readonly id: FindingId;
  readonly severity: FindingSeverity;
  readonly commands: readonly Tried[];
  /** Completes "the user may not run …: ". */
  readonly without: string;
}

/** A command as it is tried: with arguments by which it changes nothing even if it may run. */
interface Tried {
  /** As ACL SETUSER has it, such as "client|setinfo". */
  readonly name: string;
  /** What follows the name; KEY and CHANNEL stand for those of the check. */
  readonly args: readonly string[];
  /** Undefined for commands that no script may call. */
  readonly inScript: boolean;
}

const KEY = "KEY";
const CHANNEL = "CHANNEL";

const inScript = (name: string, ...args: string[]): Tried => ({ name, args, inScript: true });
const bare = (name: string, ...args: string[]): Tried => ({ name, args, inScript: false });

/** Wrong numbers, times in the past and a key that is not there: no command here writes anything. */
const LIMITERS: readonly Tried[] = [
  bare("eval", "return 1", "0"),
  bare("evalsha", "0".repeat(40), "0"),
  inScript("time"),
  inScript("mget", KEY),
  inScript("set", KEY, "v", "PX", "0"),
  inScript("setrange", KEY, "-1", "v"),
  inScript("del", KEY),
  inScript("exists", KEY),
  inScript("hget", KEY, "f"),
  inScript("hset", KEY, "f", "v", "g"),
  inScript("hdel", KEY, "f"),
  inScript("pexpireat", KEY, "1"),
];

/** What is needed by whom. `isNewer`: a server that clients tell their names, since Redis 7.2. */
export function needsOf(isCluster: boolean, isNewer: boolean): readonly Need[] {
  const messages = isCluster
    ? [inScript("spublish", CHANNEL, ""), bare("ssubscribe", CHANNEL), bare("sunsubscribe")]
    : [inScript("publish", CHANNEL, ""), bare("subscribe", CHANNEL), bare("unsubscribe")];
  const needs: (Need | false)[] = [
    {
      id: "permissions",
      severity: "error",
      commands: LIMITERS,
      without: "limiters fail",
    },
    {
      id: "permissions-semaphore",
      severity: "note",
      commands: [
        inScript("zadd", KEY, "x", "m"),
        inScript("zrange", KEY, "0", "0"),
        inScript("zrem", KEY, "m"),
        inScript("zscore", KEY, "m"),
      ],
      without: "semaphores fail",
    },
    {
      id: "permissions-messages",
      severity: "note",
      commands: messages,
      without: "waiters of semaphores, and followers of documents and overrides, ask instead",
    },
    {
      id: "permissions-overrides",
      severity: "note",
      commands: [inScript("hgetall", KEY), inScript("hlen", KEY)],
      without: "limiters with overrides: true fail",
    },
    {
      id: "permissions-reports",
      severity: "note",
      commands: [inScript("hgetall", KEY)],
      without: "reports, as of sluice top, cannot be read",
    },
    isNewer && {
      id: "permissions-client-name",
      severity: "note",
      commands: [bare("client|setinfo", "LIB-NAME", "sluice")],
      without: "each connection leaves an entry in ACL LOG",
    },
    isCluster && {
      id: "permissions-cluster",
      severity: "error",
      commands: [bare("cluster|slots"), bare("cluster|info"), bare("asking")],
      without: "clients do not find the nodes, or calls on slots that move fail",
    },
  ];
  return needs.filter((need) => need !== false);
}

/** What a user may not do. */
export interface Refusals {
  /** Who was checked; undefined if the server does not say. */
  readonly user: string | undefined;
  /** By the name of the command. */
  readonly refused: ReadonlyMap<string, "command" | "key" | "channel">;
  /** Commands that could not be checked. */
  readonly unknown: ReadonlySet<string>;
}

/** A key and a channel for the trial: no command writes to them. */
export interface Scratch {
  readonly key: string;
  readonly channel: string;
}

function argsOf({ name, args }: Tried, { key, channel }: Scratch): readonly string[] {
  const filled = args.map((arg) => (arg === KEY ? key : arg === CHANNEL ? channel : arg));
  return [...name.split("|"), ...filled];
}

/** By ACL DRYRUN. Undefined if the server does not know ACL DRYRUN, or the user may not run it. */
export async function dryRun(
  link: ServerLink,
  needs: readonly Need[],
  scratch: Scratch,
  user: string | undefined,
): Promise<Refusals | undefined> {
  const refused = new Map<string, "command" | "key" | "channel">();
  try {
    const name = user ?? String(await link.send(["ACL", "WHOAMI"]));
    for (const tried of needs.flatMap(({ commands }) => commands)) {
      const reply = await link.send(["ACL", "DRYRUN", name, ...argsOf(tried, scratch)]);
      const said = String(reply);
      if (said !== "OK") refused.set(tried.name, kindOf(said));
    }
    return { user: name, refused, unknown: new Set() };
  } catch {
    return undefined;
  }
}

function kindOf(said: string): "command" | "key" | "channel" {
  if (/channel/i.test(said)) return "channel";
  return /\bkeys?\b/i.test(said) ? "key" : "command";
}

/** What a trial answers for a command. */
const REFUSED_COMMAND = 1;
const REFUSED_KEY = 2;

/** Calls each command, and answers for each whether the user may. Words of Redis 6.2 to 8, and of Valkey. */
const TRIAL = `-- Tries commands that change nothing.
--
-- KEYS    a key that does not exist
-- ARGV    of each command: how many words, and the words
-- Reply   of each: 0 = may run, 1 = may not, 2 = may not access the key or channel
local reply, at = {}, 1
while at <= #ARGV do
  local words = ARGV[at] + 0
  local answer = redis.pcall(unpack(ARGV, at + 1, at + words))
  local said = type(answer) == 'table' and answer.err or ''
  local code = 0
  if said:find("can't access", 1, true) or said:find('access a key', 1, true)
    or said:find('access one of the', 1, true) or said:find("access the '", 1, true) then
    code = ${REFUSED_KEY}
  elseif said:find("can't run", 1, true) or said:find('NOPERM', 1, true) or said:find('no permissions', 1, true)
    or said:find('ACL failure', 1, true) then
    code = ${REFUSED_COMMAND}
  end
  reply[#reply + 1] = code
  at = at + 1 + words
end
return reply
`;

/** By running the commands in a script. What no script may call stays unknown, but for those that run scripts. */
export async function tryOut(
  run: RunScript,
  needs: readonly Need[],
  scratch: Scratch,
): Promise<Refusals> {
  const all = needs.flatMap(({ commands }) => commands);
  const tried = all.filter(({ inScript: may }) => may);
  const args = tried.flatMap((each) => {
    const words = argsOf(each, scratch);
    return [String(words.length), ...words];
  });
  const reply = (await run(digests.sha1(TRIAL), TRIAL, [scratch.key], args)) as readonly unknown[];
  const refused = new Map<string, "command" | "key" | "channel">();
  tried.forEach(({ name }, i) => {
    const code = Number(reply[i]);
    if (code === REFUSED_COMMAND) refused.set(name, "command");
    if (code === REFUSED_KEY) refused.set(name, name.endsWith("publish") ? "channel" : "key");
  });
  const ran = new Set(["eval", "evalsha", ...tried.map(({ name }) => name)]);
  const unknown = new Set(all.map(({ name }) => name).filter((name) => !ran.has(name)));
  return { user: undefined, refused, unknown };
}
