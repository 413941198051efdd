// Finds a program that the tests need, and installs it with the machine's package manager if that is allowed: as root, with
// a passwordless sudo, or in CI, and never with SLUICE_NO_INSTALL=1.
import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * @typedef {object} Program
 * @property {string} what how messages call it: "a real Redis"
 * @property {() => string | undefined} find its path, if it is there
 * @property {Readonly<Record<"apt" | "apk" | "dnf" | "brew", string>>} packages the shell's words after "install"
 */

/** @param {string} file */
export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name */
export function onPath(name) {
  const dirs = (process.env.PATH ?? "").split(delimiter);
  return dirs.map((dir) => join(dir, name)).find(isExecutable);
}

/**
 * The shell command that installs the program on this machine, or undefined if none is known.
 * @param {Program["packages"]} packages
 */
function installCommand(packages) {
  const sudo = process.getuid?.() === 0 ? "" : "sudo ";
  if (onPath("apt-get")) {
    return `${sudo}apt-get update && ${sudo}env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages.apt}`;
  }
  if (onPath("apk")) return `${sudo}apk add --no-cache ${packages.apk}`;
  if (onPath("dnf")) {
    // Alternatives are separated by a bar: names differ between releases.
    return packages.dnf
      .split("|")
      .map((name) => `${sudo}dnf install -y ${name}`)
      .join(" || ");
  }
  if (onPath("brew")) return `brew install ${packages.brew}`;
  return undefined;
}

/** @param {string} command */
function mayInstall(command) {
  if (process.env.SLUICE_NO_INSTALL === "1") return false;
  if (process.env.CI) return true;
  if (process.getuid?.() === 0) return true;
  return command.includes("sudo ") && spawnSync("sudo", ["-n", "true"]).status === 0;
}

/**
 * Path of the program, after installing it if need be; if it may not, throws with the command to type.
 * @param {Program} program
 */
export function ensureProgram({ what, find, packages }) {
  const found = find();
  if (found !== undefined) return found;

  const command = installCommand(packages);
  if (command !== undefined && mayInstall(command)) {
    process.stderr.write(`The tests need ${what}, and there is none; installing it: ${command}\n`);
    try {
      // There may be no one to type a password. Output goes to stderr: stdout is the caller's.
      execFileSync("sh", ["-c", command.replaceAll("sudo ", "sudo -n ")], {
        stdio: ["ignore", process.stderr, process.stderr],
      });
    } catch (cause) {
      throw new Error(`Installing ${what} failed. Run it yourself: ${command}`, { cause });
    }
    const installed = find();
    if (installed !== undefined) return installed;
  }
  throw new Error(
    command === undefined
      ? `The tests need ${what}: install it so that it is on PATH.`
      : `The tests need ${what}. Run: ${command}`,
  );
}
