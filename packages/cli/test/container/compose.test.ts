/** The compose file and what it mounts, the manifest for Kubernetes: YAML of the right shape, and everything they name is there. */
import { existsSync } from "node:fs";
import { posix } from "node:path";
import { loadYaml, parsePolicies } from "sluice/policies";
import { expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { SETTINGS, type SettingName, variableOf } from "../../src/serve/settings.js";
import { fromRoot, textOf } from "./files.js";

const FOLDER = "examples/service";

interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { condition: string }>>;
  readonly [key: string]: unknown;
}

interface Compose {
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, null>>;
}

const compose = parse(textOf(`${FOLDER}/compose.yaml`), { strict: true }) as Compose;
const services = Object.entries(compose.services);
const known: ReadonlySet<string> = new Set(
  Object.keys(SETTINGS).map((name) => variableOf(name as SettingName)),
);

/** Of those that the Compose specification has for a service, the ones in use. */
const KEYS =
  "build cap_drop command depends_on environment healthcheck image ports read_only restart security_opt stop_grace_period volumes".split(
    " ",
  );

/** The folders and files that a service mounts, by where it sees them. */
function mountsOf(service: string): Readonly<Record<string, string>> {
  const volumes = compose.services[service]?.volumes ?? [];
  return Object.fromEntries(
    volumes.map((volume) => {
      const [from = "", to = ""] = volume.split(":");
      return [to, from.startsWith(".") ? posix.join(FOLDER, from) : from];
    }),
  );
}

test("the compose file has the form of one, and what it names is there", () => {
  expect(Object.keys(compose).toSorted()).toEqual(["name", "services", "volumes"]);
  expect(services.map(([name]) => name)).toEqual(["sluice", "redis", "prometheus", "grafana"]);
  for (const [name, service] of services) {
    expect(Object.keys(service).filter((key) => !KEYS.includes(key))).toEqual([]);
    // Versions are pinned, but for what is built here.
    if (service.build === undefined) expect(service.image).toMatch(/^[a-z/-]+:v?\d+\.\d+[\w.-]*$/);
    else expect(existsSync(fromRoot(posix.join(FOLDER, service.build, "Dockerfile")))).toBe(true);
    const needed = service.depends_on ?? [];
    const names = Array.isArray(needed) ? (needed as string[]) : Object.keys(needed);
    expect(names.filter((other) => compose.services[other] === undefined)).toEqual([]);
    // Nobody but this machine: there are no tokens.
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    for (const [to, from] of Object.entries(mountsOf(name))) {
      expect(to).toMatch(/^\//);
      const isThere = from.includes("/") ? existsSync(fromRoot(from)) : from in compose.volumes;
      expect(isThere, from).toBe(true);
    }
  }
  expect(services.flatMap(([, { ports = [] }]) => ports)).toHaveLength(3);
});

test("the service is given settings that it has, and a document that is right", async () => {
  const { environment = {}, read_only: readOnly } = compose.services["sluice"] as ComposeService;
  expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([]);
  expect(readOnly).toBe(true);
  const document = mountsOf("sluice")["/etc/sluice/policies.yaml"] ?? "";
  const { document: read } = parsePolicies(textOf(document), {
    format: "yaml",
    yaml: await loadYaml(),
  });
  expect(read.rules.map(({ name }) => name)).toEqual(["api", "login"]);
  // As long as it may take to drain.
  const { drainDelay, drainTimeout } = SETTINGS;
  const grace = Number.parseInt(String(compose.services["sluice"]?.["stop_grace_period"]), 10);
  expect(grace * 1000).toBeGreaterThan(drainDelay.default + drainTimeout.default);
});

test("Prometheus scrapes the service and has the alerts; Grafana asks it, and has the board", () => {
  const prometheus = parse(textOf(`${FOLDER}/prometheus.yml`)) as {
    rule_files: readonly string[];
    scrape_configs: readonly { static_configs: readonly { targets: readonly string[] }[] }[];
  };
  const mounts = mountsOf("prometheus");
  expect(prometheus.rule_files.map((path) => mounts[path])).toEqual(["docs/watch/alerts.yaml"]);
  expect(mounts["/etc/prometheus/prometheus.yml"]).toBe(`${FOLDER}/prometheus.yml`);
  expect(prometheus.scrape_configs[0]?.static_configs[0]?.targets).toEqual(["sluice:8088"]);

  const { datasources } = parse(textOf(`${FOLDER}/grafana/datasources.yaml`)) as {
    datasources: readonly { type: string; url: string }[];
  };
  expect(datasources).toMatchObject([{ type: "prometheus", url: "http://prometheus:9090" }]);
  const { providers } = parse(textOf(`${FOLDER}/grafana/dashboards.yaml`)) as {
    providers: readonly { options: { path: string } }[];
  };
  const board = `${providers[0]?.options.path}/board.json`;
  expect(mountsOf("grafana")[board]).toBe("docs/watch/board.json");
  const { environment = {} } = compose.services["grafana"] as ComposeService;
  expect(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).toBe(board);
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector: Readonly<Record<string, unknown>>;
    readonly template?: { readonly metadata: { labels: unknown }; readonly spec: PodSpec };
  };
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly Readonly<Record<string, unknown>>[];
}

test("the manifest for Kubernetes is YAML, and its parts fit together", () => {
  const page = textOf("docs/service-container.md");
  const [, text = ""] = /^```yaml\n(apiVersion: apps.*?)^```/ms.exec(page) ?? [];
  const documents = parseAllDocuments(text, { strict: true });
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  const [deployment, service] = documents.map((each) => each.toJS() as Manifest);
  expect([deployment?.kind, service?.kind]).toEqual(["Deployment", "Service"]);
  const labels = { app: "sluice" };
  expect(deployment?.spec.selector).toEqual({ matchLabels: labels });
  expect(deployment?.spec.template?.metadata.labels).toEqual(labels);
  expect(service?.spec.selector).toEqual(labels);
  const pod = deployment?.spec.template?.spec as PodSpec;
  const { drainDelay, drainTimeout } = SETTINGS;
  const longest = drainDelay.default + drainTimeout.default;
  expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(longest);
  expect(pod.containers[0]).toMatchObject({
    livenessProbe: { httpGet: { path: "/healthz" } },
    readinessProbe: { httpGet: { path: "/readyz" } },
    securityContext: { readOnlyRootFilesystem: true, runAsNonRoot: true },
  });
  const variables = pod.containers[0]?.["env"] as readonly { name: string }[];
  expect(variables.filter(({ name }) => !known.has(name))).toEqual([]);
});
