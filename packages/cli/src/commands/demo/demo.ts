/** `sluice demo`: the service with its dashboard, and a few tenants who call it. */
import { type Store, systemClock } from "sluice";
import {
  PolicyConflictError,
  type PolicySource,
  PublishedPolicies,
  ruleKeyId,
} from "sluice/policies";
import { defineCommand, EXIT, type ExitCode } from "../../command-line/command.js";
import { endingOf } from "../../command-line/ending.js";
import { numberOption, type OptionTable, UsageError } from "../../command-line/options.js";
import { redactUrl } from "../../command-line/redact.js";
import { redisUrl, STORE_OPTIONS } from "../../command-line/store-options.js";
import { openHttp } from "../../serve/http/index.js";
import { errorText, serviceLog } from "../../serve/log.js";
import { readSettings } from "../../serve/read-settings.js";
import { Service } from "../../serve/service.js";
import { formatNumber, formatSpan, printable } from "../../terminal/format.js";
import { table } from "../../terminal/table.js";
import { type Io, type Terminal, terminalOf } from "../../terminal/terminal.js";
import { DEMO_DOCUMENT, TENANTS } from "./document.js";
import { freePort } from "./free-port.js";
import { playTenants, type TenantCounts } from "./load.js";
import { oneTimeDoor } from "./one-time-door.js";

const PORT = 8088;
const LOOPBACK = "127.0.0.1";
/** Of the keys, the document and the reports: so that terminals which share a Redis share these. */
const NAME = "sluice-demo";
/** Without a terminal. */
const SECONDS = 15;
/** The callers are in the same process, on a machine that may have more to do: its pauses are no outage. */
const STORE_TIMEOUT = "5s";

const OPTIONS = {
  redis: STORE_OPTIONS.redis,
  cluster: STORE_OPTIONS.cluster,
  port: {
    type: "string",
    value: "N",
    help: `Where to listen; if it is taken, the next free one (default ${PORT}; 0 = any).`,
  },
  listen: {
    type: "string",
    value: "HOST",
    help: `The address to listen on (default ${LOOPBACK}, which other machines cannot reach).`,
  },
  seconds: {
    type: "string",
    value: "N",
    help: `End after this many seconds (default: at Ctrl-C; without a terminal ${SECONDS}).`,
  },
} as const satisfies OptionTable;

interface Demo {
  readonly url: string | undefined;
  readonly cluster: boolean;
  readonly host: string;
  readonly port: number;
  /** Undefined: until Ctrl-C. */
  readonly seconds: number | undefined;
}

/** `sluice demo`: a first look at limits at work. */
export const demoCommand = defineCommand({
  usage: "sluice demo [--redis URL] [options]",
  description: `Starts the service with its dashboard, and a few tenants who call it over HTTP: one on a plan, one near its
limit, one that asks for four times its limit, one that guesses passwords. It prints the address of
the dashboard with a token that works once. Ctrl-C ends it, and prints what each was told.

The limits are kept in this process or, with --redis, in Redis: then several demos share them, and a
change made on one dashboard holds in all.`,
  options: OPTIONS,
  examples: [
    "sluice demo",
    "sluice demo --redis redis://127.0.0.1:6379",
    "sluice demo --seconds 5",
  ],
  async run(values, positionals, io) {
    const [other] = positionals;
    if (other !== undefined) throw new UsageError(`unexpected argument ${other}`);
    const { port = String(PORT), listen: host = LOOPBACK, cluster } = values;
    const wanted = numberOption("port", port, { min: 0, max: 65_535, whole: true });
    const isWatched = io.stdin.isTTY === true;
    return play(
      {
        url: redisUrl(values, io.env),
        cluster,
        host,
        port: await freePort(host, wanted),
        seconds:
          values.seconds === undefined
            ? isWatched
              ? undefined
              : SECONDS
            : numberOption("seconds", values.seconds, { min: 0, max: 86_400 }),
      },
      io,
    );
  },
});

async function play(demo: Demo, io: Io): Promise<ExitCode> {
  const terminal = terminalOf(io.stdout, io.env);
  const door = oneTimeDoor();
  const service = await openService(demo, io, door);
  const ending = endingOf(io);
  if (demo.seconds !== undefined) {
    systemClock.sleep(demo.seconds * 1000, ending.signal).then(ending.end, () => {});
  }
  try {
    const [entrance] = await openHttp(service);
    const address = entrance?.address ?? "";
    greet(demo, `${address}/#token=${door.token}`, terminal);
    const problem = (error: Error): void => {
      terminalOf(io.stderr, io.env).say(`sluice: ${printable(errorText(error))}\n`);
    };
    const target = { host: new URL(address).hostname, port: Number(new URL(address).port) };
    const counts = await playTenants(TENANTS, target, ending.signal, problem);
    report(counts, terminal);
    return counts.some(({ failed }) => failed > 0) ? EXIT.failed : EXIT.ok;
  } finally {
    ending.end();
    ending.release();
    await service.end();
  }
}

async function openService(
  { url, cluster, host, port }: Demo,
  io: Io,
  door: ReturnType<typeof oneTimeDoor>,
): Promise<Service> {
  const listen = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const place = { redis: url, cluster, namespace: NAME, storeTimeout: STORE_TIMEOUT };
  const flags = { ...place, listen, dashboard: "on", drainDelay: "0" };
  // Variables of a service of one's own must not change the demo.
  const settings = await readSettings(flags, {});
  const log = serviceLog("warn", (line) => io.stderr.write(line));
  const names = new Map<string, string>();
  const label = (id: string): string | undefined => names.get(id);
  const service = await Service.open(settings, log, { source: publishedDemo, door, label });
  // An operator knows these callers: the page shows their names beside their ids.
  const rules = new Set<string>(service.rules.document.rules.map((each) => each.name));
  for (const { name, rule, entries } of TENANTS) {
    // A document without it may have been published.
    if (rules.has(rule)) names.set(ruleKeyId(service.rules, { rule, entries }), name);
  }
  return service;
}

/** The document in the store, which the first demo puts there: what others changed stays. */
async function publishedDemo(store: Store): Promise<PolicySource> {
  const published = new PublishedPolicies({ store, name: NAME });
  if ((await published.version()) === 0) {
    const note = { expected: 0, by: "sluice demo", comment: "the limits of the demo" };
    await published.publish(DEMO_DOCUMENT, note).catch((error: unknown) => {
      // Another demo was quicker.
      if (!(error instanceof PolicyConflictError)) throw error;
    });
  }
  return published;
}

function greet({ url, seconds }: Demo, address: string, terminal: Terminal): void {
  const place = url === undefined ? "in this process" : `in ${redactUrl(url)}`;
  terminal.say(`Sluice limits five callers, ${place}:\n\n`);
  const rows = TENANTS.map(({ name, rule, callsPerSecond, about }) => [
    `  ${name}`,
    rule,
    `${callsPerSecond}/s`,
    about,
  ]);
  const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  for (const [name = "", rule = "", pace = "", about = ""] of rows) {
    terminal.say(
      `${name.padEnd(widths[0] ?? 0)}  ${rule.padEnd(widths[1] ?? 0)}  ${pace.padStart(widths[2] ?? 0)}  ${about}\n`,
    );
  }
  terminal.say(`\nWatch them, and change their limits; the address works once:\n\n  `);
  terminal.say(`${terminal.paint("bold", address)}\n\n`);
  const end =
    seconds === undefined ? "Ctrl-C ends it." : `It ends in ${formatSpan(seconds * 1e6)}.`;
  terminal.say(`${end}\n`);
}

/** The answers that each got, and each rule's sum. */
function report(counts: readonly TenantCounts[], terminal: Terminal): void {
  const head = ["rule, and its callers", "attempted", "allowed", "denied"];
  const row = (name: string, of: readonly TenantCounts[]): string[] => {
    const sum = (what: "attempted" | "allowed" | "denied"): string =>
      formatNumber(of.reduce((total, each) => total + each[what], 0));
    return [name, sum("attempted"), sum("allowed"), sum("denied")];
  };
  const rules = [...new Set(counts.map(({ tenant }) => tenant.rule))];
  const rows = rules.flatMap((rule) => {
    const own = counts.filter(({ tenant }) => tenant.rule === rule);
    return [row(rule, own), ...own.map((each) => row(`  ${each.tenant.name}`, [each]))];
  });
  terminal.say(`\n${table([head, ...rows]).join("\n")}\n`);
  const failed = counts.reduce((total, each) => total + each.failed, 0);
  if (failed > 0) terminal.say(`${formatNumber(failed)} failed: they got no answer.\n`);
}
