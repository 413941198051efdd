/**
 * Puts a result into docs/performance.md, between its marks, and draws its picture:
 * node bench/publish.mjs result.json
 */
import { readFileSync, writeFileSync } from "node:fs";
import { showGoals } from "./goals.mjs";
import { showMemoryRatios } from "./memory.mjs";
import { draw } from "./plot.mjs";
import { showRedisCosts, showRedisRatios } from "./redis.mjs";
import { describe } from "./result.mjs";
import { showSemaphore } from "./semaphore.mjs";
import { showWork } from "./work.mjs";

const DOCS = new URL("../docs/", import.meta.url);
const PAGE = new URL("performance.md", DOCS);
const PICTURE = new URL("images/cost-against-work.svg", DOCS);

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("node bench/publish.mjs result.json");
  process.exit(2);
}
const result = /** @type {import("./result.mjs").Result} */ (
  JSON.parse(readFileSync(file, "utf8"))
);
const { memory, redis, cold, hot, mixed, flood, sets, work, semaphore } = result.sections;

/** By mark. A section that was not measured leaves what is there. */
const parts = {
  // Of what is above and below them; the semaphore's are with its table.
  machine: redis && describe(result),
  goals:
    redis &&
    showGoals({
      memory,
      cold: cold?.rows,
      redis: redis.rows,
      hot: hot?.rows,
      mixed: mixed?.rows,
      flood: flood?.rows,
      sets: sets?.rows,
    }),
  memory: memory && showMemoryRatios(memory),
  redis: redis && showRedisRatios(redis.rows),
  costs: redis && showRedisCosts(redis.rows),
  work: work && showWork(work),
  semaphore:
    semaphore && `${showGoals({ semaphore: semaphore.rows })}\n\n${showSemaphore(semaphore)}`,
};

let page = readFileSync(PAGE, "utf8");
for (const [mark, text] of Object.entries(parts)) {
  if (text === undefined) continue;
  const between = new RegExp(`(<!-- bench: ${mark} -->\\n).*?(\\n<!-- end -->)`, "s");
  if (!between.test(page)) throw new Error(`${PAGE.pathname} has no mark for ${mark}`);
  page = page.replace(between, (_, begin, end) => `${begin}\n${text}\n${end}`);
}
writeFileSync(PAGE, page);
if (work !== undefined) writeFileSync(PICTURE, draw(work));
