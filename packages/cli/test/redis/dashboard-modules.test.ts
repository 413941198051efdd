/** `@sluice/cli/dashboard` in a process of its own, as an app has it: which modules that loads, and that it needs no other. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { buildProgram } from "../../../sluice/test/support/built.js";

const APP = `
import { dashboard, toNodeHandler } from "@sluice/cli/dashboard";
import { PolicySet } from "sluice/policies";
const policy = { algorithm: "gcra", limit: 5, period: "1m" };
const policies = new PolicySet({ source: { rules: [{ name: "api", key: ["user"], policy }] } });
const board = dashboard({ policies, auth: () => "admin" });
toNodeHandler(board);
const ask = async (path, body) => {
  const headers = { "content-type": "application/json", "sec-fetch-site": "same-origin" };
  const init = body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) };
  return (await board(new Request("http://h/a/" + path, init))).status;
};
const asked = [await ask(""), await ask("api/state"), await ask("api/document")];
await policies.consume({ entries: { user: "ann" } });
asked.push(await ask("api/lookup", { entries: { user: "ann" } }));
const text = JSON.stringify(policies.document).replace('"limit":5', '"limit":1');
asked.push(await ask("api/try", { text, minutes: 1 }));
asked.push(await ask("api/publish", { text, base: policies.version, how: "candidate" }));
await board.close();
await policies.close();
console.log(asked.join(" "));
`;

/** Writes the address of each module that is loaded, a line each. */
const HOOKS = `
import { appendFileSync } from "node:fs";
export async function load(url, context, next) {
  appendFileSync(new URL("./loaded.txt", import.meta.url), url + "\\n");
  return next(url, context);
}
`;
const REGISTER = `import { register } from "node:module"; register("./hooks.mjs", import.meta.url);`;

test("it serves without gRPC, YAML or a client for Redis, and loads nothing of the service or the command line", async () => {
  const { directory, remove } = await buildProgram([]);
  onTestFinished(remove);
  mkdirSync(join(directory, "node_modules/@sluice"));
  symlinkSync(join(directory, "program"), join(directory, "node_modules/@sluice/cli"), "dir");
  writeFileSync(join(directory, "app.mjs"), APP);
  writeFileSync(join(directory, "hooks.mjs"), HOOKS);
  writeFileSync(join(directory, "register.mjs"), REGISTER);
  const args = ["--import", "./register.mjs", "app.mjs"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: directory });
  expect(stdout).toBe("200 200 200 200 200 200\n");

  const loaded = readFileSync(join(directory, "loaded.txt"), "utf8").trim().split("\n");
  const own = loaded.filter((url) => !url.startsWith("node:"));
  expect(own.filter((url) => url.includes("/program/dist/")).length).toBeGreaterThan(10);
  // The library, and of the program the dashboard with what is below all folders.
  const program = /\/program\/dist\/(?:dashboard\/|clock\.js|did-you-mean\.js|within-time\.js)/;
  const foreign = own.filter((url) => /\/program\//.test(url) && !program.test(url));
  expect(foreign).toEqual([]);
  expect(own.filter((url) => !/\/dist\/|\/app\.mjs$/.test(url))).toEqual([]);
  expect(own.filter((url) => /\/stores\/redis\/clients\/|\/yaml\/|grpc/.test(url))).toEqual([]);
});
