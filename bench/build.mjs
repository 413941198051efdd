/** Which build of Sluice a process measures. It goes by the environment, for contenders are opened without a word. */
import { entriesOf, packageDirectory } from "../scripts/build-commit.mjs";

/** @typedef {import("../scripts/build-commit.mjs").Entries} Build */

const VARIABLE = "SLUICE_BENCH_BUILD";
const given = process.env[VARIABLE];

/** What `npm run build` makes of the working tree. */
export const workingTree = entriesOf(packageDirectory, packageDirectory);

/** Of this process. @type {Build} */
export const measured =
  given === undefined ? workingTree : /** @type {Build} */ (JSON.parse(given));

/** Whether it is there to be compared with another build, and not with other libraries. */
export const isCompared = given !== undefined;

/**
 * The environment of a process that measures `build`.
 * @param {Build | undefined} build
 */
export function environmentFor(build) {
  return build === undefined ? process.env : { ...process.env, [VARIABLE]: JSON.stringify(build) };
}
