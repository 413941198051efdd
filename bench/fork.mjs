/** Runs one job in a fresh process: no contender inherits another's compiled code or garbage. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { environmentFor } from "./build.mjs";

/** @typedef {import("./worker.mjs").Job} Job */

const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));
const LONGEST_MS = 60_000;

/**
 * @param {Job} job
 * @param {import("./build.mjs").Build | undefined} build
 * @param {number} longestMs
 */
function start(job, build, longestMs) {
  return fork(WORKER, [JSON.stringify(job)], {
    execArgv: ["--expose-gc"],
    timeout: longestMs,
    env: environmentFor(build),
  });
}

/** @param {Job} job @param {number | null} code @param {NodeJS.Signals | null} signal */
function endedEarly({ contender, kind }, code, signal) {
  return new Error(`${contender} (${kind}) ended with ${signal ?? `code ${code}`}`);
}

/**
 * @template {Job} J
 * @param {J} job
 * @param {import("./build.mjs").Build} [build] of Sluice; default: the working tree's
 * @param {number} [longestMs] after which it is ended
 * @returns {Promise<import("./worker.mjs").Result<J>>}
 */
export function perform(job, build, longestMs = LONGEST_MS) {
  return new Promise((resolve, reject) => {
    const child = start(job, build, longestMs);
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
      reject(endedEarly(job, code, signal));
    });
  });
}

/** A process that answers messages, one after another. @typedef {{ ask: (message: string) => Promise<unknown>, end: () => void }} Answering */

/**
 * Starts a process that answers messages, and waits until it says that it is ready.
 * @param {Job} job
 * @param {import("./build.mjs").Build | undefined} build
 * @param {number} longestMs after which it is ended
 * @returns {Promise<Answering>}
 */
export async function startAnswering(job, build, longestMs) {
  const child = start(job, build, longestMs);
  const next = () =>
    new Promise((resolve, reject) => {
      /** @param {number | null} code @param {NodeJS.Signals | null} signal */
      const ended = (code, signal) => reject(endedEarly(job, code, signal));
      child.once("exit", ended);
      child.once("message", (message) => {
        child.off("exit", ended);
        resolve(message);
      });
    });
  await next();
  return {
    ask: (message) => {
      const answer = next();
      child.send(message);
      return answer;
    },
    end: () => void child.kill(),
  };
}
