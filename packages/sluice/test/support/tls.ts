/** A Redis that speaks TLS, with a certificate made for it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureProgram, onPath } from "../../../../scripts/install.mjs";
import { startRedis } from "../../../../scripts/redis-server.mjs";

export interface TlsRedis {
  /** rediss://127.0.0.1:port */
  readonly url: string;
  /** What the server's certificate is signed with. */
  readonly ca: string;
  readonly stop: () => Promise<void>;
}

const ATTEMPTS = 3;

const OPENSSL = {
  what: "the openssl command",
  find: () => onPath("openssl"),
  packages: { apt: "openssl", apk: "openssl", dnf: "openssl", brew: "openssl" },
};

export async function startTlsRedis(): Promise<TlsRedis> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-tls-"));
  const key = join(directory, "key.pem");
  const certificate = join(directory, "certificate.pem");
  const about = ["-subj", "/CN=sluice test", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", certificate];
  execFileSync(
    ensureProgram(OPENSSL),
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...files, ...about],
    { stdio: "ignore" },
  );
  const start = async (): Promise<[port: number, redis: { stop(): Promise<void> }]> => {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const args = ["--tls-port", String(port), "--tls-cert-file", certificate];
    const trust = ["--tls-key-file", key, "--tls-ca-cert-file", certificate];
    return [port, await startRedis({ args: [...args, ...trust, "--tls-auth-clients", "no"] })];
  };
  let started = start();
  // The port was free only by chance.
  for (let i = 1; i < ATTEMPTS; i++) started = started.catch(start);
  const [port, redis] = await started;
  return {
    url: `rediss://127.0.0.1:${port}`,
    ca: readFileSync(certificate, "utf8"),
    stop: async () => {
      await redis.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
