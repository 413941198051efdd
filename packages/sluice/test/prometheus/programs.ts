/** Prometheus and promtool, from Debian's package. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { eventually } from "../support/eventually.js";

const run = promisify(execFile);
const script = fileURLToPath(new URL("../../../../scripts/prometheus.sh", import.meta.url));

/** The directory of the programs, unpacked if need be. @throws where this machine does not use Debian's archive */
export async function prometheusPrograms(): Promise<string> {
  const { stdout } = await run("bash", [script]);
  return stdout.trim();
}

/** Runs promtool to its end: what it printed. Rejects, with what it printed, where it finds fault. */
export function promtool(programs: string, args: readonly string[], input = ""): Promise<string> {
  const child = spawn(join(programs, "promtool"), args);
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  }
  child.stdin.end(input);
  return once(child, "close").then(([code]) => {
    if (code !== 0) throw new Error(`promtool ended with ${String(code)}: ${printed}`);
    return printed;
  });
}

/** A sample of an instant query. */
export interface Answer {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  query(expression: string): Promise<readonly Answer[]>;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A Prometheus that scrapes one target, and loads rules. */
export async function startPrometheus(
  programs: string,
  target: string,
  rules: string,
): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-prometheus-"));
  const port = await freePort();
  const config = {
    global: { scrape_interval: "500ms", scrape_timeout: "500ms", evaluation_interval: "1s" },
    rule_files: [rules],
    scrape_configs: [{ job_name: "sluice", static_configs: [{ targets: [target] }] }],
  };
  writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(config));
  const child = spawn(
    join(programs, "prometheus"),
    [
      `--config.file=${join(directory, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(directory, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const closed = once(child, "close");
  const url = `http://127.0.0.1:${port}`;
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${said}`);
    const { ok } = await fetch(`${url}/-/ready`);
    if (!ok) throw new Error("not ready");
  });
  return {
    async query(expression) {
      const asked = await fetch(
        `${url}/api/v1/query?${new URLSearchParams({ query: expression })}`,
      );
      const { data, error } = (await asked.json()) as {
        data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
        error?: string;
      };
      if (data === undefined) throw new Error(error);
      return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
    },
    async stop() {
      child.kill();
      await closed;
      rmSync(directory, { recursive: true });
    },
  };
}
