/** The service behind the proxies, on a port that it chooses. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PoliciesDocument } from "sluice/policies";
import { runService } from "../../../src/serve/run-service.js";

export interface RunningService {
  /** http://127.0.0.1:port */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts it with a document, which is written into `directory`. */
export async function startService(
  directory: string,
  document: PoliciesDocument,
): Promise<RunningService> {
  const policies = join(directory, "policies.json");
  writeFileSync(policies, JSON.stringify(document));
  const ended = new AbortController();
  const env = { SLUICE_LISTEN: "127.0.0.1:0", SLUICE_DRAIN_DELAY: "0" };
  let ran: Promise<void> | undefined;
  const address = await new Promise<string>((resolve, reject) => {
    const write = (line: string): void => {
      const said = JSON.parse(line) as { address?: string };
      if (said.address !== undefined) resolve(said.address);
    };
    ran = runService({ policies }, { env, write, ended: ended.signal });
    ran.catch(reject);
  });
  return {
    address,
    async stop() {
      ended.abort();
      await ran;
    },
  };
}
