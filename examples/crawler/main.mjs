// A crawler held to 5 requests at once and 10 a second. With a RedisStore in place of the memory of
// this process, any number of crawlers would share both limits.
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import { limitFetch } from "sluice/fetch";
import { crawl } from "./crawl.mjs";
import { startSite } from "./server.mjs";

const site = await startSite();
// A burst of 1 spreads the calls evenly; the site counts over any second, so no more than 10 fit.
const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1s", burst: 1 }) });
const semaphore = new Semaphore({ limit: 5 });
const polite = limitFetch({ limiter, semaphore, maxWait: "1m" });

// Somebody else uses up what the site allows, so that the crawler meets its 429.
await Promise.all(Array.from({ length: 5 }, () => fetch(site.url).then((answer) => answer.text())));
await Promise.all(Array.from({ length: 5 }, () => fetch(site.url).then((answer) => answer.text())));

const startMs = performance.now();
const pages = await crawl(site.url, polite);
const seconds = (performance.now() - startMs) / 1000;

console.log(`crawled ${pages} pages in ${seconds.toFixed(1)} s`);
console.log(`at most ${site.seen.peak} at once; ${site.seen.refused} refused and tried again`);
await semaphore.close();
await limiter.close();
site.close();
