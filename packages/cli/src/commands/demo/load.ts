/** Plays the tenants: each asks the service over HTTP at its own pace, and its answers are counted. */
import { Agent, request } from "node:http";
import { systemClock } from "sluice";
import { monotonicMs } from "../../clock.js";
import type { Tenant } from "./document.js";

/** The answers that one tenant got. */
export interface TenantCounts {
  readonly tenant: Tenant;
  readonly attempted: number;
  readonly allowed: number;
  readonly denied: number;
  /** Neither: no answer, or one that is no decision. */
  readonly failed: number;
}

/** The address of the service. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

const ALLOWED = 200;
const DENIED = 429;

/** A tenant that has fallen behind, as on a machine that slept, catches up on no more than this. */
const MOST_BEHIND_MS = 1000;

interface Tally {
  attempted: number;
  allowed: number;
  denied: number;
  failed: number;
}

/**
 * Resolves once the signal has fired and every question is answered. `failed` hears of the first failure of each tenant.
 */
export async function playTenants(
  tenants: readonly Tenant[],
  target: Target,
  signal: AbortSignal,
  failed: (error: Error) => void,
): Promise<readonly TenantCounts[]> {
  const agent = new Agent({ keepAlive: true });
  try {
    return await Promise.all(
      tenants.map(async (tenant) => {
        const tally = { attempted: 0, allowed: 0, denied: 0, failed: 0 };
        await playOne(tenant, { ...target, agent }, signal, tally, failed);
        return { tenant, ...tally };
      }),
    );
  } finally {
    agent.destroy();
  }
}

interface Way extends Target {
  readonly agent: Agent;
}

async function playOne(
  tenant: Tenant,
  way: Way,
  signal: AbortSignal,
  tally: Tally,
  failed: (error: Error) => void,
): Promise<void> {
  const body = JSON.stringify({ entries: tenant.entries, plan: tenant.plan });
  const underWay = new Set<Promise<void>>();
  let nextMs = monotonicMs();
  while (!signal.aborted) {
    const asked = ask(body, way).then(
      (status) => {
        tally.attempted += 1;
        if (status === ALLOWED) tally.allowed += 1;
        else if (status === DENIED) tally.denied += 1;
        else {
          tally.failed += 1;
          if (tally.failed === 1) failed(new Error(`${tenant.name} got a ${status}`));
        }
      },
      (error: unknown) => {
        tally.attempted += 1;
        tally.failed += 1;
        if (tally.failed === 1) failed(error as Error);
      },
    );
    underWay.add(asked);
    void asked.then(() => underWay.delete(asked));
    nextMs = Math.max(nextMs + 1000 / tenant.callsPerSecond, monotonicMs() - MOST_BEHIND_MS);
    await systemClock.sleep(Math.max(0, nextMs - monotonicMs()), signal).catch(() => {});
  }
  await Promise.all(underWay);
}

/** The status of the answer. */
function ask(body: string, { host, port, agent }: Way): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host,
        port,
        agent,
        method: "POST",
        path: "/v1/consume",
        headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
      },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
        response.once("error", reject);
      },
    );
    asked.once("error", reject);
    asked.end(body);
  });
}
