/** The page for those who see no colours, choose their own, want nothing to move, or leave it open for a day. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { DashboardState } from "../../../src/dashboard/wire.js";
import { findChromium, launch, openPage } from "./browser.js";
import { standIn, type StandIn } from "./stand-in.js";
import { BUSY, NOW_MS, WORDY } from "./states.js";

const LINES = ["allowed", "denied", "near", "withoutStore"] as const;
const executable = findChromium();

describe.skipIf(executable === undefined)("seen otherwise", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch(executable ?? "");
  });
  afterAll(() => browser.close());

  async function show(
    shown: DashboardState,
    options: BrowserContextOptions = {},
  ): Promise<{ page: Page; server: StandIn }> {
    const server = await standIn(shown);
    onTestFinished(() => server.close());
    const { page, complaints } = await openPage(browser, server.url, options);
    onTestFinished(async () => {
      await page.context().close();
      expect(complaints).toEqual([]);
    });
    await page.getByRole("heading", { name: "Rules", exact: true }).waitFor();
    return { page, server };
  }

  const styleOf = (page: Page, selector: string, name: string): Promise<string> =>
    page.evaluate<string>(
      `getComputedStyle(document.querySelector(${JSON.stringify(selector)}))[${JSON.stringify(name)}]`,
    );

  test("each line has a pattern of its own, and the legend has the same", async () => {
    const { page } = await show(BUSY);
    const patternsIn = (place: string): Promise<readonly string[]> =>
      Promise.all(LINES.map((name) => styleOf(page, `${place} .${name}`, "strokeDasharray")));
    const patterns = await patternsIn(".plot");
    expect(new Set(patterns).size).toBe(LINES.length);
    expect(patterns[0]).toBe("none");
    expect(await patternsIn(".legend")).toEqual(patterns);
    // A change is a line too, and none of those.
    expect(patterns).not.toContain(await styleOf(page, ".plot .change", "strokeDasharray"));
    // In the chart a pattern is not stretched with the line.
    for (const name of LINES) {
      expect(await styleOf(page, `.plot .${name}`, "vectorEffect")).toBe("non-scaling-stroke");
    }
  });

  test("nothing moves for those who want it so, and only scrolling for others", async () => {
    const moving = `[...document.querySelectorAll("*")].filter((each) => {
      const { transitionDuration, animationName } = getComputedStyle(each);
      return /[1-9]/.test(transitionDuration) || animationName !== "none";
    }).length`;
    for (const reducedMotion of ["reduce", "no-preference"] as const) {
      const { page } = await show(BUSY, { reducedMotion });
      expect(await page.evaluate(moving)).toBe(0);
      expect(await styleOf(page, "html", "scrollBehavior")).toBe(
        reducedMotion === "reduce" ? "auto" : "smooth",
      );
    }
  });

  test("with colours of the visitor's own, what only a colour says is still seen", async () => {
    const { page } = await show(BUSY, { forcedColors: "active" });
    const pause = page.getByRole("button", { name: "Pause" });
    const ground = (): Promise<string> => styleOf(page, "button[aria-pressed]", "backgroundColor");
    const before = await ground();
    await pause.click();
    expect(await ground()).not.toBe(before);
    const panel = await styleOf(page, "section", "backgroundColor");
    expect(await styleOf(page, ".gauge > span", "backgroundColor")).not.toBe(panel);
    const text = await styleOf(page, "h2", "color");
    for (const name of LINES) {
      expect(await styleOf(page, `.plot .${name}`, "stroke"), name).toBe(text);
    }
  });

  test("a name that turns what follows turns no other's", async () => {
    const { page } = await show(WORDY);
    const turns = await page.evaluate<readonly string[]>(`[...document.querySelectorAll("*")]
      .filter(({ childNodes }) => [...childNodes].some((each) => each.nodeType === 3 && each.data.includes("\u202E")))
      .filter((each) => {
        const { display, unicodeBidi } = getComputedStyle(each);
        return display === "inline" && unicodeBidi !== "isolate" && !each.classList.contains("sr");
      })
      .map(({ outerHTML }) => outerHTML)`);
    expect(turns).toEqual([]);
    const mixed = await page.evaluate<number>(`[...document.querySelectorAll(".changes p")]
      .flatMap(({ childNodes }) => [...childNodes])
      .filter((each) => each.nodeType === 3 && each.data.trim() !== "").length`);
    expect(mixed).toBe(0);
  });

  test("left open, it holds no more after hours than after a minute", async () => {
    const { page, server } = await show(BUSY);
    await page.getByText("The chart as a table").click();
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    let at = 0;
    const polls = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        at += 1;
        server.show(secondOf(at));
        const before = server.polls.count;
        while (server.polls.count === before) await page.clock.runFor(250);
      }
    };
    const held = async () => {
      await session.send("HeapProfiler.collectGarbage");
      const { metrics } = await session.send("Performance.getMetrics");
      const of = (name: string): number =>
        metrics.find((each) => each.name === name)?.value ?? Number.NaN;
      return { nodes: of("Nodes"), listeners: of("JSEventListeners"), heap: of("JSHeapUsedSize") };
    };
    await polls(60);
    const first = await held();
    await polls(240);
    const last = await held();
    process.stderr.write(
      `After 60 and 300 polls: ${first.nodes} and ${last.nodes} nodes, ${first.listeners} and ${last.listeners} listeners, ${Math.round(first.heap / 1e3)} and ${Math.round(last.heap / 1e3)} kB\n`,
    );
    // What a poll replaced may not be collected yet: a leak of one node a poll is more than that.
    expect(last.nodes).toBeLessThan(first.nodes + 240);
    expect(last.listeners).toBeLessThan(first.listeners + 120);
    expect(last.heap).toBeLessThan(first.heap * 1.5);
  });
});

/** The state in the second `at` of a busy service: every number is another, keys come and go, parts fail and recover. */
function secondOf(at: number): DashboardState {
  const nowMs = NOW_MS + at * 1000;
  const second = BUSY.seconds[(at * 7) % BUSY.seconds.length];
  const outage = { fromMs: nowMs - 1000, toMs: undefined, answered: "local", calls: undefined };
  return {
    ...BUSY,
    nowMs,
    next: BUSY.next + at,
    isContinued: true,
    seconds: second === undefined ? [] : [{ ...second, fromMs: nowMs - 1000 }],
    rules: BUSY.rules.map((rule, i) => ({
      ...rule,
      perSecond: { ...rule.perSecond, denied: (at * (i + 3)) % 97 },
    })),
    topDenied: BUSY.topDenied.map((key, i) => ({ ...key, id: `${key.id}${(at + i) % 50}` })),
    stores: BUSY.stores.map((store) => {
      return at % 20 < 10 ? store : { ...store, outages: [outage, outage, ...store.outages] };
    }),
  };
}
