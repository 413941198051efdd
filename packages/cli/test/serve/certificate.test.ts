/** TLS while the service runs: a certificate that is replaced, and clients that never begin to speak it. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openGrpc } from "../../src/serve/grpc/index.js";
import { makeCertificate } from "../support/certificate.js";
import { type Flags, startService, temporaryFolder } from "../support/service.js";

const document = { rules: [] };

let made: string;
const pem = (name: string): string => join(made, name);

beforeAll(() => {
  made = mkdtempSync(join(tmpdir(), "sluice-certificates-"));
  for (const name of ["old", "new"]) {
    makeCertificate(pem(`${name}.key`), pem(`${name}.pem`));
  }
});

afterAll(() => {
  rmSync(made, { recursive: true, force: true });
});

/** A service with the old certificate over HTTP and gRPC, and the ports of both. */
async function started(flags: Flags = {}) {
  const folder = temporaryFolder();
  const [tlsCert, tlsKey] = [join(folder, "tls.pem"), join(folder, "tls.key")];
  const put = (cert: "old" | "new", key: "old" | "new"): void => {
    copyFileSync(pem(`${cert}.pem`), tlsCert);
    copyFileSync(pem(`${key}.key`), tlsKey);
  };
  put("old", "old");
  const own = { tlsCert, tlsKey, grpc: "127.0.0.1:0", ...flags };
  const running = await startService(document, own);
  const addresses = [running.addresses[0], await openGrpc(running.service)];
  const ports = addresses.map((address) => Number(/\d+$/.exec(String(address))?.[0]));
  return { ...running, put, ports };
}

/** An open connection, which says what certificate it was shown. */
async function opened(port: number): Promise<TLSSocket> {
  const ALPNProtocols = ["h2", "http/1.1"];
  const options = { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols };
  const socket = connect(options);
  onTestFinished(() => void socket.destroy());
  await new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
  });
  return socket;
}

const shownOn = (socket: TLSSocket): string =>
  socket.getPeerX509Certificate()?.toString().trim() ?? "none";

const contentOf = (name: string): string => readFileSync(pem(name), "utf8").trim();

test("a certificate that is replaced is shown from then on, over HTTP and gRPC; one that is not whole is not", async () => {
  const { service, put, ports, lines } = await started();
  const shown = () => Promise.all(ports.map(async (port) => shownOn(await opened(port))));
  const [before, after] = [contentOf("old.pem"), contentOf("new.pem")];
  const kept = await Promise.all(ports.map(opened));
  expect(kept.map(shownOn)).toEqual([before, before]);

  put("new", "old");
  await service.readCertificateAgain();
  expect(await shown()).toEqual([before, before]);
  expect(lines.at(-1)).toMatch(/"certificate not taken".*is not the key of the certificate/);

  put("new", "new");
  await service.readCertificateAgain();
  expect(await shown()).toEqual([after, after]);
  expect(lines.at(-1)).toContain('"certificate read"');
  expect(kept.map(({ destroyed }) => destroyed)).toEqual([false, false]);
});

test("without TLS there is no certificate to read", async () => {
  const { service, lines } = await startService(document);
  await service.readCertificateAgain();
  expect(lines).toEqual([]);
});

test("a client that opens a connection and never speaks TLS waits as long as for a request", async () => {
  const { ports } = await started({ requestTimeout: "100ms" });
  await Promise.all(
    ports.flatMap((port) =>
      // Nothing, and the beginning of a greeting.
      ["", "\x16\x03\x01\x02\x00"].map(
        (bytes) =>
          new Promise<void>((resolve) => {
            const socket = connectPlain(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
            onTestFinished(() => void socket.destroy());
            socket.on("error", () => {}).on("close", () => resolve());
          }),
      ),
    ),
  );
});
