// A process of the semaphore's races. Arguments: the built package, what to do, the URL of Redis, the lease,
// and a file for the log.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [built = "", task = "", url = "", lease = "", logFile = ""] = process.argv.slice(2);
const load = (/** @type {string} */ file) => import(pathToFileURL(join(built, "dist", file)).href);
const { MemoryStore, Semaphore } = await load("index.js");
const { RedisStore } = await load("stores/redis/index.js");
const { observePermits } = await load("semaphore/semaphore.js");
const { permitLog, semaphoreHeaderLine } = await load("audit/semaphore-record.js");

const LIMIT = 2;
const say = (/** @type {string} */ text) => process.stdout.write(`${text}\n`);
const open = async () =>
  new Semaphore({
    limit: task === "contend" ? LIMIT : 1,
    leaseDuration: lease,
    timeout: "5s",
    store: url === "" ? new MemoryStore() : await RedisStore.connect(url),
  });

const tasks = {
  /** Holds again and again, until it is killed. */
  async contend() {
    const semaphore = await open();
    // A line is in the file before the next command is sent: a killed process takes none with it.
    appendFileSync(logFile, semaphoreHeaderLine(LIMIT));
    observePermits(
      semaphore,
      permitLog("hot", (line) => appendFileSync(logFile, line)),
    );
    const work = async () => {
      for (;;) {
        const permit = await semaphore.acquire("hot");
        await sleep(Math.random() * 30);
        await permit.release();
      }
    };
    await Promise.all([work(), work()]);
  },

  /** Holds, and says what it finds when it was stopped. */
  async stopped() {
    const semaphore = await open();
    const permit = await semaphore.acquire("hot");
    say(`held ${permit.fencingToken}`);
    let lookedAtMs = performance.now();
    for (;;) {
      await sleep(10);
      const gapMs = performance.now() - lookedAtMs;
      lookedAtMs += gapMs;
      if (gapMs > 500) break;
    }
    say(`lost ${permit.lost.aborted} ${permit.lost.reason?.code}`);
    await permit.release();
    say("released");
    await semaphore.close();
    await semaphore.store.close();
  },

  /** Ends at once, while it waits. */
  async exit() {
    const semaphore = await open();
    void semaphore.acquire("hot");
    while ((await semaphore.inspect("hot")).waiting === 0) await sleep(5);
    process.exit(0);
  },

  /** Has nothing to do but to wait; then nothing but a permit that it never releases. */
  async wait() {
    const semaphore = await open();
    await semaphore.acquire("hot");
    await semaphore.acquire("hot", { maxWait: 300 }).catch((/** @type {Error} */ error) => {
      say(error.name);
    });
  },
};

await tasks[/** @type {keyof typeof tasks} */ (task)]();
