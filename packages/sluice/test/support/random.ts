/** Random choices that can be made again, for tests of the program too. */
export { Random } from "../../src/core/random.js";
