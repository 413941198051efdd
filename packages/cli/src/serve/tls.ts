/** The certificate and the key of a server, out of their files. */
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { SettingError } from "./read-settings.js";
import type { ServiceSettings } from "./settings.js";

export interface ServerTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly minVersion: "TLSv1.2";
}

/**
 * Undefined if the settings name no files.
 *
 * @throws SettingError that names the bad file
 */
export async function readTls({
  tlsCert,
  tlsKey,
}: Pick<ServiceSettings, "tlsCert" | "tlsKey">): Promise<ServerTls | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new SettingError("tlsCert and tlsKey go together");
  }
  const [cert, key] = await Promise.all([contentOf(tlsCert), contentOf(tlsKey)]);
  checkContext({ cert }, `tlsCert: ${tlsCert} holds no certificate in PEM`);
  checkContext({ key }, `tlsKey: ${tlsKey} holds no private key in PEM, or one with a passphrase`);
  checkContext({ cert, key }, `tlsKey: ${tlsKey} is not the key of the certificate ${tlsCert}`);
  return { cert, key, minVersion: "TLSv1.2" };
}

async function contentOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    throw new SettingError(`${file} cannot be read: ${code}`);
  }
}

/** What OpenSSL says of it names neither the file nor the matter. */
function checkContext(options: SecureContextOptions, otherwise: string): void {
  try {
    createSecureContext(options);
  } catch {
    throw new SettingError(otherwise);
  }
}
