/** The page as `sluice serve` serves it: two processes on one Redis, a change that both take up, and who is refused. */
import { randomUUID } from "node:crypto";
import { RedisStore } from "sluice/redis";
import { PublishedPolicies } from "sluice/policies";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { type BuiltProgram, buildProgram } from "../../../../sluice/test/support/built.js";
import { eventually } from "../../../../sluice/test/support/eventually.js";
import { startNode } from "../../../../sluice/test/support/processes.js";
import { type Ask, askerOf } from "../../support/service.js";
import { findChromium, launch, openServed } from "./browser.js";

const ADMIN = "an-admin-token-for-tests";
const READER = "a-readers-token-for-tests";
const TOKENS = `ana admin,read ${ADMIN}; guest read ${READER}; gateway decide a-gateways-token-for-tests`;
const LIMIT = 3;

const executable = findChromium();
let browser: Browser;
let built: BuiltProgram;

interface Service {
  readonly address: string;
  readonly ask: Ask;
}

/** A process of the program that follows what is published under this name. */
async function startProcess(name: string): Promise<Service> {
  const flags = ["--published", name, "--namespace", name, "--listen", "127.0.0.1:0"];
  const running = startNode([built.cli, "serve", ...flags, "--redis", inject("redisUrl")], {
    SLUICE_TOKENS: TOKENS,
  });
  onTestFinished(async () => {
    running.child.kill("SIGKILL");
    await running.ended;
  });
  let log = "";
  running.child.stdout?.on("data", (text: string) => {
    log += text;
  });
  const address = await eventually(() => {
    const found = /"address":"(http:[^"]+)"/.exec(log)?.[1];
    if (found === undefined) throw new Error(`it does not listen: ${log}`);
    return found;
  });
  const headers = { authorization: "Bearer a-gateways-token-for-tests" };
  return { address, ask: askerOf(address, { headers }) };
}

/** Two processes, and the document that both follow. */
async function startTwo() {
  const name = `board-${randomUUID()}`;
  const store = new RedisStore({ url: inject("redisUrl") });
  onTestFinished(() => store.close());
  const published = new PublishedPolicies({ store, name });
  const policy = { algorithm: "token-bucket", limit: LIMIT, period: "1000h" } as const;
  const document = { rules: [{ name: "api", key: ["user"], policy }] };
  await published.publish(document, { expected: 0, by: "ben", comment: "first limits" });
  return { published, services: [await startProcess(name), await startProcess(name)] as const };
}

async function logIn(address: string, token: string): Promise<Page> {
  const { page, complaints } = await openServed(browser, `${address}/`);
  onTestFinished(async () => {
    await page.context().close();
    // The first answer says that nobody is logged in, and the console repeats each refusal.
    expect(complaints.filter((text) => !/status of (?:401|403)/.test(text))).toEqual([]);
  });
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  return page;
}

/** Asks for a user, as a client does, and says the limit that was applied. */
async function limitOf({ ask }: Service, user: string): Promise<unknown> {
  const { body } = await ask("/v1/consume", { entries: { user } });
  const { rules } = body as unknown as { rules?: readonly { limit: number }[] };
  return rules?.[0]?.limit ?? (body as { limit?: number }).limit;
}

describe.skipIf(executable === undefined)("as it is served", () => {
  beforeAll(async () => {
    built = await buildProgram(["ioredis", "yaml"]);
    browser = await launch(executable ?? "");
  });
  afterAll(async () => {
    await browser.close();
    built.remove();
  });

  test("two processes are one; a change holds in both, and goes back", async () => {
    const { services, published } = await startTwo();
    const [first, second] = services;
    const page = await logIn(first.address, ADMIN);
    await page.getByText("2 processes").waitFor();

    // Each denies some of one user's: what the page shows is what both have counted.
    let asked = 0;
    for (const service of services) {
      for (let i = 0; i < 2 * LIMIT; i++) {
        expect(await limitOf(service, "acme")).toBe(LIMIT);
        asked += 1;
      }
    }
    const total = (label: string) =>
      page.locator(".totals div").filter({ hasText: label }).first().locator("small").last();
    // The window is as long as somebody has counted: seconds at first, and more on a slow machine.
    const counted = (calls: number): RegExp => new RegExp(`^${calls} in [1-9]\\d* (?:s|min)$`);
    await expect.poll(() => total("Asked").innerText()).toMatch(counted(asked));
    expect(await total("Allowed").innerText()).toMatch(counted(LIMIT));
    expect(await total("Denied").innerText()).toMatch(counted(asked - LIMIT));

    await page.getByRole("button", { name: "Edit the document" }).click();
    const area = page.getByLabel("Document, version 1");
    await area.fill((await area.inputValue()).replace(/("limit": )3/, "$150"));
    await page.getByRole("button", { name: "Simulate" }).click();
    const tried = page.getByRole("group", { name: "What would have changed" });
    await tried.getByRole("row", { name: /^api/ }).waitFor();
    await page.getByRole("button", { name: "Publish…" }).click();
    await page.getByLabel("At once, for all keys").check();
    await page.getByLabel("Comment").fill("more for all");
    await page.getByRole("dialog").getByRole("button", { name: "Publish" }).click();
    await page.getByRole("banner").getByText("version 2").waitFor();
    await expect.poll(() => limitOf(second, `after-${randomUUID()}`)).toBe(50);
    expect(await published.history()).toMatchObject([
      { version: 2, by: "ana", comment: "more for all" },
      { version: 1, by: "ben" },
    ]);

    await page.getByRole("button", { name: "Go back to it… version 1" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Roll back" }).click();
    await page.getByRole("banner").getByText("version 3").waitFor();
    await expect.poll(() => limitOf(second, `back-${randomUUID()}`)).toBe(LIMIT);
  });

  test("a key is found, blocked for both processes, and unblocked", async () => {
    const { services } = await startTwo();
    const [first, second] = services;
    await limitOf(first, "acme");
    const page = await logIn(first.address, ADMIN);
    await page.getByLabel("Entries").fill("user=acme");
    await page.keyboard.press("Enter");
    await page.getByText("2 of 3 left, whole again").waitFor();
    await page.getByRole("button", { name: "Block…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Block" }).click();
    await page.getByText("blocked: every request is denied").waitFor();
    const allowed = async () =>
      (await second.ask("/v1/consume", { entries: { user: "acme" } })).status;
    await expect.poll(allowed).toBe(429);
    await page.getByRole("button", { name: "Unblock…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Unblock" }).click();
    // The list of denied keys has a button too by now.
    await page.getByRole("button", { name: "Block… user=acme of api" }).waitFor();
    await expect.poll(allowed).toBe(200);
  });

  test("refused are another site, a wrong token, and a change by who may read", async () => {
    const { services } = await startTwo();
    const { address } = services[0];
    const wrong = await logIn(address, "this-is-not-a-token");
    await wrong.getByRole("alert").getByText(/./).first().waitFor();
    expect(await wrong.getByRole("heading", { name: "Rules", exact: true }).count()).toBe(0);

    const reader = await logIn(address, READER);
    await reader.getByText("(read only)").waitFor();
    const post = `fetch("api/mode", { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ mode: "off" }) }).then(({ status }) => status)`;
    expect(await reader.evaluate(post)).toBe(403);

    const admin = await logIn(address, ADMIN);
    await admin.getByRole("banner").getByText("version 1").waitFor();
    const form = `<form method="post" enctype="text/plain" action="${address}/api/mode">
      <input name='{"mode":"off","x":"' value='"}'><button>Win</button></form>`;
    const site = await admin.context().newPage();
    await site.route("http://other.example/", (route) =>
      route.fulfill({ contentType: "text/html", body: form }),
    );
    await site.goto("http://other.example/");
    const answer = site.waitForResponse((response) => response.url().endsWith("/api/mode"));
    await site.getByRole("button", { name: "Win" }).click();
    expect((await answer).status()).toBe(403);
    await admin.getByRole("button", { name: /^enforce…/ }).waitFor();
  });
});
