/** Every adapter does the same, on sockets. */
import { describe, test } from "vitest";
import { httpConformance } from "../../src/testing/index.js";
import { subjects } from "./subjects/index.js";

// Most cases wait for most of their time.
describe.concurrent.each(subjects)("$name", (subject) => {
  for (const { name, run } of httpConformance({ subject })) test(name, run);
});
