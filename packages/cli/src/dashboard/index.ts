/** `@sluice/cli/dashboard`: the dashboard for an app of your own. Needs Node, Bun or Deno. */
import { type Dashboard, openDashboard } from "./dashboard.js";
import type { DashboardOptions } from "./options.js";

export type { AdminMessage } from "./audit.js";
export type { Dashboard, RequestOrigin } from "./dashboard.js";
export { toNodeHandler } from "./node-handler.js";
export type { DashboardAccess, DashboardOptions, DashboardVisitor } from "./options.js";

/**
 * One page on which an operator sees whether the right traffic is limited, finds a customer, and changes a limit: as a
 * handler of Fetch requests, for any mount path. Without `auth` or `token` there is none; a visitor without the right
 * `admin` cannot change anything. See docs/dashboard.md.
 *
 * @throws InvalidOptionError
 * @example
 * import { dashboard } from "@sluice/cli/dashboard";
 * import { PolicySet } from "sluice/policies";
 * const policy = { algorithm: "token-bucket", limit: 100, period: "1m" } as const;
 * const policies = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
 * const board = dashboard({ policies, auth: (request) => (request.headers.has("x-admin") ? "admin" : "none") });
 * const page = await board(new Request("http://localhost/limits/"));
 * const state = await board(new Request("http://localhost/limits/api/state"));
 * console.log(page.status, state.status); // 200 401
 * await board.close();
 * await policies.close();
 */
export function dashboard(options: DashboardOptions): Dashboard {
  return openDashboard(options);
}
