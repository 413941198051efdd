import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type AdminMessage,
  type Dashboard,
  dashboard,
  type DashboardAccess,
  type DashboardOptions,
  type DashboardVisitor,
  type RequestOrigin,
  toNodeHandler,
} from "@sluice/cli/dashboard";
import { PolicySet } from "sluice/policies";

const policies = new PolicySet({ source: { rules: [] } });
const heard: AdminMessage[] = [];
const access: DashboardAccess = "admin";
const options: DashboardOptions = {
  policies,
  name: "edge, production",
  auth: async (request): Promise<DashboardVisitor> => ({
    access,
    who: request.headers.get("x-who") ?? undefined,
  }),
  label: (id) => (id === "" ? undefined : "acme"),
  onChange: (change) => heard.push(change),
};
const board: Dashboard = dashboard(options);
const origin: RequestOrigin = { address: "192.0.2.1" };
const handler: (request: IncomingMessage, response: ServerResponse) => Promise<void> =
  toNodeHandler(board);
assert.equal(typeof handler, "function");
// @ts-expect-error: there is no such right.
const wrong: DashboardAccess = "root";
assert.equal(wrong, "root");

const change = new Request("http://localhost/api/mode", {
  method: "POST",
  headers: { "content-type": "application/json", "sec-fetch-site": "same-origin", "x-who": "ana" },
  body: '{"mode":"shadow"}',
});
assert.equal((await board(change, origin)).status, 204);
assert.deepEqual([heard[0]?.who, heard[0]?.action, heard[0]?.after], ["ana", "mode", "shadow"]);
await board.close();
await policies.close();
