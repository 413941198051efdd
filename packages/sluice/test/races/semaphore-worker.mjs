// A process of the semaphore's races. Arguments: the built package, what to do, the URL of Redis, the lease,
// the semaphore's key, and a file for the log.
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createClient } from "redis";
import { writeFenced } from "./fenced.mjs";

const [built = "", task = "", url = "", lease = "", key = "", logFile = ""] = process.argv.slice(2);
const from = (/** @type {string} */ file) => pathToFileURL(join(built, "dist", file)).href;
const { MemoryStore, Semaphore } = /** @type {typeof import("../../src/index.js")} */ (
  await import(from("index.js"))
);
const { RedisStore } = /** @type {typeof import("../../src/stores/redis/index.js")} */ (
  await import(from("stores/redis/index.js"))
);
const { permitLog, semaphoreHeaderLine } =
  /** @type {typeof import("../../src/audit/semaphore-record.js")} */ (
    await import(from("audit/semaphore-record.js"))
  );

const LIMIT = 2;
const say = (/** @type {string} */ text) => {
  process.stdout.write(`${text}\n`);
};
const open = async () =>
  new Semaphore({
    limit: task === "contend" ? LIMIT : 1,
    leaseDuration: lease,
    timeout: "60s",
    store: url === "" ? new MemoryStore() : await RedisStore.connect(url),
  });

/** Says how long it was kept from working, where that is not short. */
function sayStalls() {
  const everyMs = 20;
  let before = performance.now();
  setInterval(() => {
    const now = performance.now();
    const lateMs = now - before - everyMs;
    before = now;
    if (lateMs > everyMs) say(`stalled ${lateMs}`);
  }, everyMs);
}

const tasks = {
  /** Holds again and again, until it is killed. */
  async contend() {
    const semaphore = await open();
    sayStalls();
    // A line is in the file before the next command is sent: a killed process takes none with it.
    appendFileSync(logFile, semaphoreHeaderLine(LIMIT));
    semaphore.events.on(
      "permit",
      permitLog(key, (line) => {
        appendFileSync(logFile, line);
      }),
    );
    const work = async () => {
      for (;;) {
        const permit = await semaphore.acquire(key);
        await sleep(Math.random() * 30);
        await permit.release();
      }
    };
    await Promise.all([work(), work()]);
  },

  /** Holds and writes, and says what it finds when it goes on after it was stopped. */
  async stopped() {
    const semaphore = await open();
    const client = createClient({ url });
    await client.connect();
    const permit = await semaphore.acquire(key);
    permit.lost.addEventListener("abort", () => {
      say("told that it is lost");
    });
    const woken = once(process, "SIGCONT");
    say(`held ${permit.fencingToken}`);
    say(`wrote first ${await writeFenced(client, key, permit.fencingToken, "first")}`);
    await woken;
    const { lost } = permit;
    say(`lost ${lost.aborted} ${/** @type {{ code?: string }} */ (lost.reason).code}`);
    say(`wrote late ${await writeFenced(client, key, permit.fencingToken, "late")}`);
    await permit.release();
    say("released");
    await semaphore.close();
    await semaphore.store.close();
    await client.close();
  },

  /** Ends at once, while it waits. */
  async exit() {
    const semaphore = await open();
    void semaphore.acquire(key);
    while ((await semaphore.inspect(key)).waiting === 0) await sleep(5);
    process.exit(0);
  },

  /** Has nothing to do but to wait; then nothing but a permit that it never releases. */
  async wait() {
    const semaphore = await open();
    await semaphore.acquire(key);
    await semaphore.acquire(key, { maxWait: 300 }).catch((/** @type {unknown} */ error) => {
      say(error instanceof Error ? error.name : "something else");
    });
  },
};

await tasks[/** @type {keyof typeof tasks} */ (task)]();
