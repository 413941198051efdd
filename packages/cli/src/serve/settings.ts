/** Every setting of the service, once: its flag, its variable, its key in the file, and its row in docs/service.md. */

/** How a setting is written, and what it becomes. */
type Kind = "text" | "texts" | "switch" | "number" | "milliseconds";

export interface Setting {
  readonly kind: Kind;
  /** The placeholder for the value in the help; none for a switch. */
  readonly value?: string;
  readonly default?: string | number;
  readonly least?: number;
  readonly most?: number;
  readonly choices?: readonly string[];
  /** Only if it is not SLUICE_ and the name. */
  readonly env?: string;
  /** false: a secret, which no command line may hold. */
  readonly flag?: false;
  /** false: what is read before the file is. */
  readonly file?: false;
  /** true: to be given as nothing is a slip, and not the same as not at all. */
  readonly isNeverEmpty?: true;
  readonly help: string;
}

const HOUR_MS = 3600e3;

export const SETTINGS = {
  policies: {
    kind: "text",
    value: "FILE",
    help: "The document of policies, in JSON or YAML; it is followed while it changes.",
  },
  published: {
    kind: "text",
    value: "NAME",
    help: "Instead of a file: the document that `sluice policies push` publishes in Redis under this name, `sluice` by default there. All services follow it.",
  },
  config: { kind: "text", value: "FILE", file: false, help: "These settings, in JSON or YAML." },
  redis: {
    kind: "text",
    value: "URL",
    env: "SLUICE_REDIS_URL",
    help: "Redis or Valkey, such as redis://user:password@host:6379/0, or rediss: for TLS. Without it limits are counted in the memory of this process.",
  },
  cluster: { kind: "switch", help: "The URL is a node of a Cluster." },
  namespace: {
    kind: "text",
    value: "NAME",
    default: "sluice",
    help: "The first part of every key in the store.",
  },
  listen: {
    kind: "texts",
    value: "ADDRESS",
    default: "127.0.0.1:8088",
    help: "Where to answer HTTP: host:port, [::]:port or unix:/path; several with commas between them.",
  },
  grpc: {
    kind: "text",
    value: "ADDRESS",
    help: "Where to answer Envoy's rate limit service over gRPC: a port of 127.0.0.1, host:port, [::]:port or unix:/path. Default: nowhere. See [Behind Envoy](service-grpc.md).",
  },
  grpcEach: {
    kind: "switch",
    help: "Decide each descriptor of such a request separately, as Envoy's own service does; otherwise all together.",
  },
  tlsCert: {
    kind: "text",
    value: "FILE",
    help: "The certificate chain, in PEM, for TLS on ports. SIGHUP reads it and its key again.",
  },
  tlsKey: { kind: "text", value: "FILE", help: "Its private key, in PEM." },
  tokens: {
    kind: "text",
    value: "TEXT",
    flag: false,
    file: false,
    isNeverEmpty: true,
    help: "Who may ask: see [Tokens](#tokens). Without any, everybody may.",
  },
  tokensFile: {
    kind: "text",
    value: "FILE",
    help: "Who may ask, in a file: see [Tokens](#tokens). SIGHUP reads it again.",
  },
  dashboard: {
    kind: "text",
    value: "WHETHER",
    choices: ["on", "off"],
    help: "The [dashboard](dashboard.md) at /, for tokens with the scope read or admin. on: without tokens too, with one that the log shows at the start. Default: on where there are tokens.",
  },
  trust: {
    kind: "number",
    value: "N",
    default: 1,
    least: 0,
    most: 100,
    help: "/v1/authz: how many proxies of your own stand before the service. It takes the client's address from X-Forwarded-For accordingly.",
  },
  mode: {
    kind: "text",
    value: "MODE",
    choices: ["shadow", "off"],
    help: "Switches all rules: shadow decides and counts, but lets everything pass; off decides nothing.",
  },
  policiesCache: {
    kind: "text",
    value: "FILE",
    help: "Keeps a copy of the document that was last in force, for a start while the file is gone or broken.",
  },
  storeTimeout: {
    kind: "milliseconds",
    value: "TIME",
    default: 250,
    least: 1,
    most: HOUR_MS,
    help: "How long a store may take to answer, before the document's onStoreFailure does.",
  },
  maxBody: {
    kind: "number",
    value: "BYTES",
    default: 262_144,
    least: 1024,
    most: 2 ** 26,
    help: "The longest body of a request; longer ones get 413.",
  },
  maxHeaders: {
    kind: "number",
    value: "BYTES",
    default: 16_384,
    least: 1024,
    most: 2 ** 20,
    help: "The longest head of a request; longer ones get 431.",
  },
  maxConnections: {
    kind: "number",
    value: "N",
    default: 10_000,
    least: 1,
    most: 1e6,
    help: "How many connections may be open at a time, at each address; further ones are closed at once.",
  },
  requestTimeout: {
    kind: "milliseconds",
    value: "TIME",
    default: 10_000,
    least: 100,
    most: HOUR_MS,
    help: "How long a request may take to arrive, head and body; slower ones get 408. The handshake of TLS has the same time.",
  },
  idleTimeout: {
    kind: "milliseconds",
    value: "TIME",
    default: 75_000,
    least: 100,
    most: HOUR_MS,
    help: "How long a connection may stay without a request.",
  },
  drainDelay: {
    kind: "milliseconds",
    value: "TIME",
    default: 5000,
    least: 0,
    most: HOUR_MS,
    help: "After SIGTERM: how long /readyz says 503 while requests are still taken, for balancers to see it.",
  },
  drainTimeout: {
    kind: "milliseconds",
    value: "TIME",
    default: 30_000,
    least: 0,
    most: HOUR_MS,
    help: "Then: how long requests under way may take before their connections are closed.",
  },
  logLevel: {
    kind: "text",
    value: "LEVEL",
    default: "info",
    choices: ["debug", "info", "warn", "error"],
    help: "debug logs every request.",
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;

interface Values {
  text: string;
  texts: readonly string[];
  switch: boolean;
  number: number;
  milliseconds: number;
}

type ValueOf<S extends Setting> = S extends { default: string | number } | { kind: "switch" }
  ? Values[S["kind"]]
  : Values[S["kind"]] | undefined;

/** What the settings came to. Milliseconds and bytes are numbers. */
export type ServiceSettings = {
  readonly [K in SettingName]: ValueOf<(typeof SETTINGS)[K]>;
};

/** `tlsCert` is --tls-cert. */
export function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `tlsCert` is SLUICE_TLS_CERT. */
export function variableOf(name: string): string {
  const { env }: Setting = SETTINGS[name as SettingName];
  return env ?? `SLUICE_${flagOf(name).replaceAll("-", "_").toUpperCase()}`;
}

/** The table of docs/service.md. */
export function settingsTable(): string {
  const rows = Object.entries(SETTINGS).map(([name, setting]: [string, Setting]) => {
    const { flag, file, value, help } = setting;
    const cells = [
      flag === false ? "" : `\`--${flagOf(name)}${value === undefined ? "" : ` ${value}`}\``,
      `\`${variableOf(name)}\``,
      file === false ? "" : `\`${name}\``,
      defaultText(setting),
      help,
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return ["| flag | variable | in the file | default | |", "|---|---|---|---|---|", ...rows].join(
    "\n",
  );
}

function defaultText({ kind, default: value }: Setting): string {
  if (value === undefined) return kind === "switch" ? "no" : "none";
  return kind === "milliseconds" ? spanText(Number(value)) : `\`${value}\``;
}

/** A span as one would type it. */
function spanText(ms: number): string {
  return ms >= 1000 && ms % 1000 === 0 ? `\`${ms / 1000}s\`` : `\`${ms}ms\``;
}
