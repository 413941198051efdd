/** nginx, Caddy, HAProxy and Apache, from Debian's packages, with the configurations of examples/proxies. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const script = fileURLToPath(new URL("../../../../../scripts/proxies.sh", import.meta.url));
const examples = fileURLToPath(new URL("../../../../../examples/proxies/", import.meta.url));

/** Where the programs are, unpacked if need be. */
export interface Programs {
  readonly root: string;
  /** The directories of their libraries. */
  readonly libraries: string;
}

/** @returns undefined where this machine does not use Debian's archive. */
export async function proxyPrograms(): Promise<Programs | undefined> {
  try {
    const root = (await promisify(execFile)("bash", [script])).stdout.trim();
    const found = await promisify(execFile)("find", [
      root,
      "-type",
      "d",
      "-path",
      "*/lib/*-linux-gnu",
    ]);
    return { root, libraries: found.stdout.trim().replaceAll("\n", ":") };
  } catch (error) {
    if ((error as { code?: unknown }).code === 3) return undefined;
    throw error;
  }
}

/** Addresses, as host:port. */
export interface Addresses {
  readonly own: string;
  readonly service: string;
  readonly app: string;
}

export interface Proxy {
  /** The address that clients use. */
  readonly own: string;
  /** What it has said on stderr so far. */
  readonly said: () => string;
  stop(): Promise<void>;
}

/** A text with a part of it replaced, which it has to hold. */
export function replaced(text: string, part: string | RegExp, by: string): string {
  const changed = text.replaceAll(part, by);
  if (changed === text) throw new Error(`the configuration does not hold ${String(part)}`);
  return changed;
}

/** A configuration as it is in examples/proxies. */
export function example(path: string): string {
  return readFileSync(join(examples, path), "utf8");
}

/** How a proxy is started with its configuration. */
export interface Setup {
  readonly program: string;
  /** Writes what it needs into a directory of its own, and says with which arguments it starts. */
  readonly prepare: (
    directory: string,
    addresses: Addresses,
    programs: Programs,
  ) => readonly string[];
}

/** Files of examples/proxies, their addresses replaced by others. */
export function configured(
  path: string,
  { own, service, app }: Addresses,
  listens: string,
): string {
  const withService = example(path).replaceAll("127.0.0.1:8088", service);
  return withService.replaceAll("127.0.0.1:3000", app).replaceAll(listens, own);
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

async function accepts(address: string): Promise<boolean> {
  const [host = "", port] = address.split(":");
  const socket = connect(Number(port), host);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const LOOKS_EVERY_MS = 20;

/** Starts a proxy before an application and a service, and waits until it takes connections. */
export async function startProxy(
  programs: Programs,
  { program, prepare }: Setup,
  to: Omit<Addresses, "own">,
): Promise<Proxy> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-proxy-"));
  // Some give up the rights of root, and still read their files.
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, "run"), { mode: 0o777 });
  const own = `127.0.0.1:${await freePort()}`;
  const args = prepare(directory, { ...to, own }, programs);
  // A file: Apache cannot open a socket by its name.
  const log = join(directory, "run", "stderr");
  const stderr = openSync(log, "a");
  const child = spawn(join(programs.root, program), args, {
    cwd: directory,
    stdio: ["ignore", "ignore", stderr],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: directory,
      XDG_DATA_HOME: directory,
      XDG_CONFIG_HOME: directory,
      LD_LIBRARY_PATH: programs.libraries,
    },
  });
  closeSync(stderr);
  const said = (): string => readFileSync(log, "utf8");
  const closed = once(child, "close");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await closed;
    rmSync(directory, { recursive: true });
  };
  try {
    while (!(await accepts(own))) {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${said()}`);
      await sleep(LOOKS_EVERY_MS);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { own, stop, said };
}

/** Writes a file of a proxy's directory. @returns its path. */
export function put(directory: string, name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}
