/** Runs one job in a fresh process: no contender inherits another's compiled code or garbage. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { environmentFor } from "./build.mjs";

/** @typedef {import("./worker.mjs").Job} Job */

const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));
const LONGEST_MS = 60_000;

/**
 * @template {Job} J
 * @param {J} job
 * @param {import("./build.mjs").Build} [build] of Sluice; default: the working tree's
 * @param {number} [longestMs] after which it is ended
 * @returns {Promise<import("./worker.mjs").Result<J>>}
 */
export function perform(job, build, longestMs = LONGEST_MS) {
  return new Promise((resolve, reject) => {
    const child = fork(WORKER, [JSON.stringify(job)], {
      execArgv: ["--expose-gc"],
      timeout: longestMs,
      env: environmentFor(build),
    });
    /** @type {import("./worker.mjs").Result<J> | undefined} */
    let result;
    child.once("message", (message) => {
      result = /** @type {import("./worker.mjs").Result<J>} */ (message);
    });
    child.once("error", reject);
    // Not before it is gone: the next one has the machine to itself.
    child.once("exit", (code, signal) => {
      if (result !== undefined && code === 0) {
        resolve(result);
        return;
      }
      reject(new Error(`${job.contender} (${job.kind}) ended with ${signal ?? `code ${code}`}`));
    });
  });
}
