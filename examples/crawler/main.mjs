// A crawler held to 5 requests at once and 10 a second. With a RedisStore in place of the memory of
// this process, any number of crawlers would share both limits.
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import { limitFetch } from "sluice/fetch";
import { AGENT, crawl } from "./crawl.mjs";
import { startSite } from "./server.mjs";

const site = await startSite();
// A burst of 1 lets one start every 100 ms. What starts late, because the process was busy, arrives closer to the
// next: a site may see an 11th within a second. So ask for a little less than a site allows; this one allows 12.
const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1s", burst: 1 }) });
const semaphore = new Semaphore({ limit: 5 });
const polite = limitFetch({ limiter, semaphore, maxWait: "1m" });

// Somebody else uses up what the site allows, so that the crawler meets its 429.
const headers = { "user-agent": "somebody-else" };
const visit = () => fetch(site.url, { headers }).then((answer) => answer.text());
await Promise.all(Array.from({ length: 6 }, visit));
await Promise.all(Array.from({ length: 6 }, visit));

const startMs = performance.now();
const pages = await crawl(site.url, polite);
const seconds = (performance.now() - startMs) / 1000;

const { arrivalsMs, mostUnderWay, refused } = site.visitor(AGENT);
const inASecond = arrivalsMs.map(
  (fromMs) => arrivalsMs.filter((atMs) => atMs >= fromMs && atMs < fromMs + 1000).length,
);
console.log(`crawled ${pages} pages in ${seconds.toFixed(1)} s`);
console.log(
  `the site saw at most ${mostUnderWay} at once and ${Math.max(...inASecond)} in a second`,
);
console.log(`${refused} of ${arrivalsMs.length} requests refused, and tried again`);
await semaphore.close();
await limiter.close();
site.close();
