/** One Chromium for a file of tests, and pages that fail a test at any error or report of the policy. */
import { existsSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { NOW_MS } from "./states.js";

const script = fileURLToPath(new URL("../../../../../scripts/chromium.sh", import.meta.url));

/** Of Chromium; undefined where there is none and this machine cannot have one, which is said on stderr. */
export function findChromium(): string | undefined {
  const { status, stdout, stderr } = spawnSync("bash", [script], { encoding: "utf8" });
  const path = stdout.trim();
  if (status === 0 && existsSync(path)) return path;
  process.stderr.write(`The dashboard was not tried in a browser:\n${stderr}\n`);
  return undefined;
}

export const launch = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** A page, and what it complained of so far. */
export interface Watched {
  readonly page: Page;
  readonly complaints: string[];
}

/** A page at an address, with its own clock. */
export async function openServed(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  prepare: (page: Page) => Promise<unknown> = async () => {},
): Promise<Watched> {
  const context = await browser.newContext({
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1440, height: 900 },
    reducedMotion: "reduce",
    ...options,
  });
  // As polls of expectations: a busy machine is slow, and that is no failure.
  context.setDefaultTimeout(300_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  // Reports of the policy come to the console as errors too.
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await prepare(page);
  await page.goto(url);
  return { page, complaints };
}

/** The same at the time of the states, in UTC: with a clock that runs, or one that stands, where ages are read. */
export const openPage = (
  browser: Browser,
  url: string,
  options?: BrowserContextOptions,
  isStill = false,
): Promise<Watched> =>
  openServed(browser, url, options, (page) =>
    isStill ? page.clock.setFixedTime(NOW_MS) : page.clock.install({ time: NOW_MS }),
  );
