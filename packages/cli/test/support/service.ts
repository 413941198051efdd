/** A service in this process, for one test: on a free port of the loopback, with a document and settings of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PoliciesDocument } from "sluice/policies";
import { onTestFinished } from "vitest";
import { openHttp } from "../../src/serve/http/index.js";
import { serviceLog } from "../../src/serve/log.js";
import { readSettings } from "../../src/serve/read-settings.js";
import { Service } from "../../src/serve/service.js";
import type { SettingName } from "../../src/serve/settings.js";

export type Flags = Partial<Record<SettingName, string | boolean | undefined>>;

export interface Running {
  readonly service: Service;
  /** Where it listens, in the order of the setting. */
  readonly addresses: readonly string[];
  /** Asks the first of them. */
  readonly ask: Ask;
  /** Every line of the log so far. */
  readonly lines: string[];
  /** The document's file. */
  readonly path: string;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body out of JSON. */
  readonly body: Record<string, never>;
}

export type Ask = (path: string, body?: unknown, options?: RequestOptions) => Promise<Reply>;

/** A folder that goes with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-serve-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** `flags` as on a command line; whatever delays an end is left out. */
export async function startService(
  document: PoliciesDocument,
  flags: Flags = {},
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const path = join(temporaryFolder(), "policies.json");
  writeFileSync(path, JSON.stringify(document));
  const lines: string[] = [];
  const settings = await readSettings(
    { policies: path, listen: "127.0.0.1:0", drainDelay: "0", drainTimeout: "10s", ...flags },
    env,
  );
  const log = serviceLog(settings.logLevel as "info", (line) => lines.push(line));
  const service = await Service.open(settings, log);
  onTestFinished(() => service.end());
  const addresses = (await openHttp(service)).map(({ address }) => address);
  return { service, addresses, ask: askerOf(addresses[0] as string), lines, path };
}

/** Asks by a connection of its own: POST where there is a body, which is JSON unless it is bytes or a text. */
export function askerOf(address: string, defaults: RequestOptions = {}): Ask {
  const place = address.startsWith("unix:")
    ? { socketPath: address.slice("unix:".length) }
    : { host: new URL(address).hostname, port: new URL(address).port };
  return (path, body, options = {}) =>
    new Promise((resolve, reject) => {
      const bytes = body === undefined || body instanceof Uint8Array || typeof body === "string";
      const sent = bytes ? body : JSON.stringify(body);
      const method = body === undefined ? "GET" : "POST";
      const outgoing = request(
        { ...place, path, method, agent: false, ...defaults, ...options },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            const isJson = /json/.test(response.headers["content-type"] ?? "");
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              body: isJson && text !== "" ? (JSON.parse(text) as Reply["body"]) : {},
            });
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(sent);
    });
}
