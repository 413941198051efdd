/**
 * The page at the widths of a phone, a tablet and a desk, light and dark: nothing is wider than the window. With
 * SLUICE_PICTURES=1 the pictures of docs/images are taken anew.
 */
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { findChromium, launch, openPage } from "./browser.js";
import { standIn, type StandIn } from "./stand-in.js";
import { BUSY, WORDY } from "./states.js";

const images = fileURLToPath(new URL("../../../../../docs/images/", import.meta.url));
const isTaken = process.env["SLUICE_PICTURES"] === "1";
const executable = findChromium();

describe.skipIf(executable === undefined)("at every width", () => {
  let browser: Browser;
  let server: StandIn;
  beforeAll(async () => {
    browser = await launch(executable ?? "");
    server = await standIn(BUSY);
  });
  afterAll(async () => {
    await browser.close();
    server.close();
  });

  test.each([390, 820, 1440])("%i px, nothing sticks out", async (width) => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, complaints } = await openPage(browser, server.url, {
        viewport: { width, height: 900 },
        colorScheme,
      });
      await page.getByRole("heading", { name: "Rules", exact: true }).waitFor();
      await page.getByLabel("Entries").fill("user=acme");
      await page.getByRole("button", { name: "Look up", exact: true }).click();
      await page.getByText("Would get now").waitFor();
      await page.getByRole("button", { name: /^reports : list/ }).click();
      await page.getByLabel("Key as the code passes it").fill("export");
      await page.getByRole("button", { name: "List", exact: true }).click();
      await page.getByText("2 of 20 held, 1 waiting").waitFor();
      const over = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
      expect(over).toBe(0);
      if (isTaken) {
        const path = `${images}dashboard-${width}-${colorScheme}.png`;
        await page.screenshot({ path, fullPage: true, animations: "disabled" });
      }
      expect(complaints).toEqual([]);
      await page.context().close();
    }
  });

  test.each([320, 390, 820, 1440])("%i px, names of one long word are broken", async (width) => {
    const wordy = await standIn(WORDY);
    onTestFinished(() => wordy.close());
    const { page } = await openPage(browser, wordy.url, { viewport: { width, height: 900 } });
    await page.getByRole("heading", { name: "Rules", exact: true }).waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
    await page
      .getByRole("button", { name: /^Block…/ })
      .first()
      .click();
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    const over = "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)";
    expect(await page.evaluate(`${over}(document.querySelector("dialog"))`)).toBe(0);
    await page.context().close();
  });

  // What the readme shows first: the part that answers whether the right traffic is limited.
  test.runIf(isTaken)("1,100 px, its first part", async () => {
    const { page } = await openPage(browser, server.url, {
      viewport: { width: 1100, height: 606 },
      colorScheme: "light",
    });
    await page.getByRole("heading", { name: "Rules", exact: true }).waitFor();
    await page.screenshot({ path: `${images}dashboard-first.png`, animations: "disabled" });
    await page.context().close();
  });
});
