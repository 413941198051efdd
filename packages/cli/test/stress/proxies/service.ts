/** The service behind the proxies: `sluice serve`, as it was built, in a process of its own, on a port that it chooses. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { PoliciesDocument } from "sluice/policies";

const program = fileURLToPath(new URL("../../../dist/main.js", import.meta.url));

export interface RunningService {
  /** http://127.0.0.1:port */
  readonly address: string;
  /** Asks it to end, and resolves with its exit code when it has drained. */
  stop(): Promise<number | null>;
}

/** Starts it with a document, which is written into `directory`. */
export async function startService(
  directory: string,
  document: PoliciesDocument,
): Promise<RunningService> {
  const policies = join(directory, "policies.json");
  writeFileSync(policies, JSON.stringify(document));
  const args = ["serve", "--policies", policies, "--listen", "127.0.0.1:0", "--drain-delay", "0"];
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close") as Promise<[number | null]>;
  const said: string[] = [];
  const address = await new Promise<string>((resolve, reject) => {
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on("line", (line) => {
        said.push(line);
        const [, found] = /"address":"(http:[^"]+)"/.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    }
    closed.then(() => reject(new Error(`sluice serve ended: ${said.join("\n")}`)), reject);
  });
  return {
    address,
    async stop() {
      child.kill("SIGTERM");
      const [code] = await closed;
      return code;
    },
  };
}
