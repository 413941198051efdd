/** Runs the service in this process until it is told to end. */
import { openGrpc } from "./grpc/index.js";
import { openHttp } from "./http/index.js";
import { type LogLevel, serviceLog } from "./log.js";
import { type Environment, readSettings } from "./read-settings.js";
import { Service } from "./service.js";
import type { SettingName } from "./settings.js";

/** What the service needs of its process. */
export interface ServiceProcess {
  readonly env: Environment;
  /** Takes a line of the log. */
  readonly write: (line: string) => unknown;
  /** Fires when the service is to drain. */
  readonly ended: AbortSignal;
  /** Calls `reload` whenever files are to be read again, until what it returns is called. */
  readonly onReload?: (reload: () => void) => () => void;
}

/**
 * Resolves when the service has drained.
 *
 * @throws SettingError, InvalidPoliciesError; the system's error if an address is not available
 */
export async function runService(
  flags: Readonly<Partial<Record<SettingName, string | boolean | undefined>>>,
  { env, write, ended, onReload }: ServiceProcess,
): Promise<void> {
  const settings = await readSettings(flags, env);
  // A setting of a few choices.
  const log = serviceLog(settings.logLevel as LogLevel, write);
  const service = await Service.open(settings, log);
  try {
    const entrances = await openHttp(service);
    for (const { address } of entrances) log.info("listening", { address });
    const [first] = entrances;
    if (service.dashboard !== undefined && first !== undefined) {
      const { token } = service.dashboard;
      log.info("dashboard", { address: `${first.address}/`, token });
    }
    const address = await openGrpc(service);
    if (address !== undefined) log.info("listening", { address });
  } catch (error) {
    await service.close();
    throw error;
  }
  const { rules, store, tokens } = service;
  const { notes } = await service.readiness();
  log.info("ready", {
    policies: String(rules.version),
    rules: rules.document.rules.length,
    store: store.external ? "redis" : "memory",
    tokens: tokens.areAsked,
    ...(notes.length > 0 && { notes: notes.join(", ") }),
  });
  if (
    !tokens.areAsked &&
    [...settings.listen, settings.grpc ?? "unix:"].some((address) => !isLocal(address))
  ) {
    log.warn("everybody who reaches the service may ask it: it has no tokens");
  }
  const reloaded = onReload?.(() => {
    void service.readTokensAgain();
    void service.readCertificateAgain();
  });
  await new Promise<void>((resolve) => {
    if (ended.aborted) resolve();
    ended.addEventListener("abort", () => resolve(), { once: true });
  });
  reloaded?.();
  await service.end();
}

/** Whether only processes of this machine reach an address. */
function isLocal(address: string): boolean {
  return /^(?:unix:|127\.|localhost:|\[::1\]|\d+$)/.test(address);
}
