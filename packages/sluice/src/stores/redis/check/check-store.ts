/** Checks the servers of a store, and the client that talks to them. */
import { digests, randomName } from "../../../core/digest.js";
import { startTimer } from "../../../core/clock.js";
import { keyNameOf } from "../../../core/identity.js";
import { checkName } from "../../../core/key.js";
import { byDefault, filled, optional, optionReader } from "../../../core/options.js";
import type { RunScript, ServerLink } from "../clients/client.js";
import { adapterOf, asScriptFailure } from "../clients/index.js";
import type { Subscriber } from "../subscriber.js";
import { finding, type StoreFinding } from "./finding.js";
import { judgeServer, knowsClientNames } from "./judge-server.js";
import { checkMessages } from "./messages.js";
import { dryRun, type Need, needsOf, type Refusals, type Scratch, tryOut } from "./permissions.js";
import { readServerFacts, type ServerFacts, timingOf } from "./server-facts.js";

/** Of `store.check()`. */
export interface CheckOptions {
  /** Whose keys the user must be able to reach; default "sluice". */
  readonly namespace?: string | undefined;
  /**
   * Another user of the server, whose permissions are checked instead; that takes ACL DRYRUN. Default: the store's own
   * user.
   */
  readonly user?: string | undefined;
}

/** What is checked. */
export interface CheckedStore {
  readonly run: RunScript;
  /** Undefined until a connection of the store's own is open. */
  readonly clientNow: () => unknown;
  readonly isCluster: boolean;
  readonly subscriber: Subscriber;
}

/** A server that takes longer for one answer has hung, as far as a check is concerned. */
const ANSWER_MS = 5000;
const NONCE_BYTES = 9;
const TIME = "return redis.call('TIME')";

const OPTIONS = optionReader<CheckOptions>()({
  namespace: byDefault("sluice", checkName),
  user: optional(filled("the name of a user of the server")),
});

/** @throws InvalidOptionError */
export async function checkServers(
  store: CheckedStore,
  options: CheckOptions,
): Promise<readonly StoreFinding[]> {
  const { namespace, user } = OPTIONS.read(options);
  const key = keyNameOf(`${namespace}:check`, randomName(NONCE_BYTES));
  const scratch = { key, channel: `${key}!` };
  const time = (): Promise<unknown> => store.run(digests.sha1(TIME), TIME, [], []);
  try {
    await answered(time());
  } catch (error) {
    const { message } = asScriptFailure(error);
    const refusal = /NOPERM|ACL failure|can't run/.test(message);
    if (!refusal) return [finding("connection", "error", `The store does not answer: ${message}`)];
  }
  const links = await serversOf(store);
  const facts = await Promise.all(links.map((link) => readServerFacts(link, store.isCluster)));
  if (facts.length === 0) facts.push(await factsByScript(time));
  const needs = needsOf(store.isCluster, facts.some(knowsClientNames));
  return [
    ...merged(facts, (each) => judgeServer(each, store)),
    ...(await permissions(store, links, needs, scratch, user)),
    await checkMessages(store, scratch),
    ...clientFindings(store),
    ...unchecked(links, facts),
  ];
}

/** The servers, each of whose answers is waited for only so long. */
async function serversOf({ clientNow }: CheckedStore): Promise<readonly ServerLink[]> {
  const client = clientNow();
  const links = (await adapterOf(client).serversOf?.(client as object)) ?? [];
  return links.map((link) => ({
    address: link.address,
    send: (command) => answered(link.send(command)),
  }));
}

/** All that can be known through a client that only runs scripts. */
async function factsByScript(time: () => Promise<unknown>): Promise<ServerFacts> {
  const none = new Map<string, string>();
  const timing = await timingOf(() => answered(time())).catch(() => undefined);
  return { address: "", info: none, cluster: none, config: none, timing, refused: [] };
}

/** @throws Error if no answer comes in time. */
async function answered<T>(reply: Promise<T>): Promise<T> {
  let end = (): void => {};
  const late = new Promise<never>((_, reject: (error: Error) => void) => {
    const timer = startTimer(ANSWER_MS, () => {
      reject(new Error(`no answer within ${ANSWER_MS} ms`));
    });
    end = () => {
      timer.cancel();
    };
  });
  try {
    return await Promise.race([reply, late]);
  } finally {
    end();
  }
}

/** What is true of all nodes is said once; what is not, with the node's address. */
function merged(
  facts: readonly ServerFacts[],
  judge: (facts: ServerFacts) => readonly StoreFinding[],
): readonly StoreFinding[] {
  const nodes = facts.map((each) => ({ node: each.address, findings: judge(each) }));
  const said = new Map<string, number>();
  for (const { findings } of nodes) {
    for (const { text } of findings) said.set(text, (said.get(text) ?? 0) + 1);
  }
  const once = new Set<string>();
  return nodes.flatMap(({ node, findings }) =>
    findings.flatMap((each) => {
      if (said.get(each.text) !== facts.length) return [{ ...each, node }];
      if (once.has(each.text)) return [];
      once.add(each.text);
      return [each];
    }),
  );
}

async function permissions(
  { run }: CheckedStore,
  links: readonly ServerLink[],
  needs: readonly Need[],
  scratch: Scratch,
  user: string | undefined,
): Promise<readonly StoreFinding[]> {
  const perNode = await Promise.all(links.map((link) => dryRun(link, needs, scratch, user)));
  const known = perNode.filter((each) => each !== undefined);
  if (known.length > 0) return refusalFindings(needs, known);
  if (user !== undefined) {
    const text = `Whether ${user} may run Sluice's commands is not known: asking takes ACL DRYRUN, of Redis 7 or Valkey, and a user that may.`;
    return [finding("unchecked", "warning", text)];
  }
  try {
    // A script goes by EVAL first, and by EVALSHA from then on.
    await answered(tryOut(run, needs, scratch));
    return refusalFindings(needs, [await answered(tryOut(run, needs, scratch))]);
  } catch (error) {
    const { message } = asScriptFailure(error);
    const text = `The user may not run eval or evalsha, or not reach the keys of Sluice: limiters fail. ${message}`;
    return [finding("permissions", "error", text)];
  }
}

/** One finding for each need that some node refuses; one that all is well if none does. */
function refusalFindings(
  needs: readonly Need[],
  nodes: readonly Refusals[],
): readonly StoreFinding[] {
  const user = nodes.find((node) => node.user !== undefined)?.user;
  const who = user === undefined ? "This user" : `User ${JSON.stringify(user)}`;
  const refusedBy = ({ commands }: Need): readonly string[] => {
    const refused = commands.flatMap(({ name }) => {
      const kind = nodes.map(({ refused: by }) => by.get(name)).find((each) => each !== undefined);
      if (kind === undefined) return [];
      return [kind === "command" ? `+${name}` : `${name} on its ${kind}`];
    });
    return [...new Set(refused)];
  };
  const lacking = needs.map((need) => ({ need, lacks: refusedBy(need) }));
  const findings = lacking.flatMap(({ need: { id, severity, without }, lacks }) =>
    lacks.length === 0
      ? []
      : [finding(id, severity, `${who} lacks ${lacks.join(" ")}: ${without}.`)],
  );
  const unknown = [...new Set(nodes.flatMap((node) => [...node.unknown]))];
  const rest = unknown.length === 0 ? "" : ` Not tried: ${unknown.join(" ")}.`;
  if (findings.some(({ id }) => id === "permissions")) return findings;
  const ok = `${who} may run all that limiters need.${rest}`;
  return [finding("permissions", "ok", ok), ...findings];
}

function clientFindings({ clientNow }: CheckedStore): readonly StoreFinding[] {
  const client = clientNow();
  const hazards = adapterOf(client).hazardsOf?.(client as object) ?? [];
  if (hazards.length === 0) {
    return [finding("client", "ok", "No option of the client lets calls count twice or late.")];
  }
  return hazards.map(({ better, harm, severity }) =>
    finding("client", severity, `Better: ${better}. Otherwise ${harm}.`),
  );
}

function unchecked(
  links: readonly ServerLink[],
  facts: readonly ServerFacts[],
): readonly StoreFinding[] {
  if (links.length === 0) {
    const text =
      "This client runs scripts and nothing else, or does not show a Cluster's nodes: version, memory, eviction, replicas and persistence were not checked. Check with a client of redis or ioredis.";
    return [finding("unchecked", "note", text)];
  }
  const refused = [...new Set(facts.flatMap((each) => each.refused))];
  if (refused.length === 0) return [];
  const text = `The server did not answer ${refused.join(", ")}, so not everything was checked. A user that may (+info +config|get +cluster|info) sees all.`;
  return [finding("unchecked", "note", text)];
}
