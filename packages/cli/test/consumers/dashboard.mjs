import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { dashboard, toNodeHandler } from "@sluice/cli/dashboard";
import { PolicySet } from "sluice/policies";

const policy = { algorithm: "token-bucket", limit: 2, period: "1h" };
const policies = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
const board = dashboard({ policies, token: { read: "a-token-that-may-look-on" } });
const server = createServer(toNodeHandler(board)).listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}/limits/`;

const page = await fetch(url);
assert.equal(page.status, 200);
assert.match(
  page.headers.get("content-security-policy"),
  /^default-src 'none'; script-src 'sha256-/,
);
assert.match(await page.text(), /<title>Sluice<\/title>/);
assert.equal((await fetch(`${url}api/state`)).status, 401);
const headers = { authorization: "Bearer a-token-that-may-look-on" };
const state = await (await fetch(`${url}api/state`, { headers })).json();
assert.equal(state.rules[0].limit, "2 per 1 h, burst 2");

server.closeAllConnections();
server.close();
await board.close();
await policies.close();
