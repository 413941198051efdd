// A first look for a fresh clone: 300 calls against a limit of 10 a second, decided in memory.
// Further arguments go to the command, as in `npm start -- --redis redis://127.0.0.1:6379`.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));
const demo = "exercise demo --limit 10 --period 1s --calls 300 --delay 10ms".split(" ");
const more = process.argv.slice(2);

const { status } = spawnSync(process.execPath, [cli, ...demo, ...more], { stdio: "inherit" });
if (status === 0 && more.length === 0) {
  console.log(
    "\nDecided in this process's memory. To share one limit between terminals, run this in each:",
  );
  console.log("  npm start -- --redis redis://127.0.0.1:6379");
}
process.exitCode = status ?? 1;
