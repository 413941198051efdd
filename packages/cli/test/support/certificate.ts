/** Certificates of servers on loopback, made by openssl. */
import { execFileSync } from "node:child_process";

const WORDS =
  "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost" +
  " -addext subjectAltName=DNS:localhost,IP:127.0.0.1";

/** Writes a new private key and a certificate for it, signed by itself, into two files. */
export function makeCertificate(key: string, certificate: string): void {
  const files = ["-keyout", key, "-out", certificate];
  execFileSync("openssl", [...WORDS.split(" "), ...files], { stdio: "ignore" });
}
