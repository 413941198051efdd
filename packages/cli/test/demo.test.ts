/** What `sluice demo` shows, and to whom. */
import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { oneTimeDoor } from "../src/commands/demo/one-time-door.js";
import { freePort } from "../src/commands/demo/free-port.js";
import { playTenants } from "../src/commands/demo/load.js";
import { TENANTS } from "../src/commands/demo/document.js";
import { run } from "../src/run.js";
import { fakeProcess } from "./io.js";

/** Starts the demo, and waits for the address that it prints. */
async function started(...argv: readonly string[]) {
  const process = fakeProcess();
  const ended = run(["demo", "--port", "0", ...argv], process.io);
  const address = await expect
    .poll(() => /^ {2}(http:\S+)$/m.exec(process.stdout())?.[1] ?? "")
    .not.toBe("")
    .then(() => new URL(/^ {2}(http:\S+)$/m.exec(process.stdout())?.[1] ?? ""));
  const token = address.hash.replace("#token=", "");
  return { process, ended, origin: address.origin, token };
}

/** The numbers of a row of what it prints at its end. */
const rowOf = (printed: string, name: string): readonly number[] =>
  (new RegExp(`^ *${name.replaceAll(".", "\\.")} +([\\d, ]+)$`, "m").exec(printed)?.[1] ?? "")
    .split(/ +/)
    .map((number) => Number(number.replaceAll(",", "")));

interface Said {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** On a connection of its own, which fetch would keep. */
async function ask(url: string, body?: object, cookie = ""): Promise<Said> {
  const headers = {
    "Content-Type": "application/json",
    "Sec-Fetch-Site": "same-origin",
    Cookie: cookie,
  };
  const method = body === undefined ? "GET" : "POST";
  const asked = request(url, { agent: false, method, headers });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

const logIn = (origin: string, token: string): Promise<Said> =>
  ask(`${origin}/api/login`, { token });

const cookieOf = ({ headers }: Said): string => headers["set-cookie"]?.[0]?.split(";")[0] ?? "";

test("it plays its callers, prints what each was told, and ends by itself", async () => {
  const process = fakeProcess();
  expect(await run(["demo", "--port", "0", "--seconds", "2"], process.io)).toBe(0);
  expect(process.stderr()).toBe("");
  const printed = process.stdout();
  expect(printed).toMatch(/^rule, and its callers +attempted +allowed +denied$/m);
  const rules = new Map<string, number[]>();
  for (const { name, rule } of TENANTS) {
    const [attempted = 0, allowed = 0, denied = 0] = rowOf(printed, name);
    expect(attempted, name).toBeGreaterThan(0);
    expect(allowed + denied, name).toBe(attempted);
    const sums = rules.get(rule) ?? [0, 0, 0];
    rules.set(
      rule,
      [attempted, allowed, denied].map((value, i) => value + (sums[i] ?? 0)),
    );
  }
  for (const [rule, sums] of rules) expect(rowOf(printed, rule), rule).toEqual(sums);
  // Whoever is far from a limit is never denied, however slow the machine.
  expect(rowOf(printed, "bistro")[2]).toBe(0);
});

test("it prints an address whose token works once, and ends at Ctrl-C with 0", async () => {
  const { process, ended, origin, token } = await started();
  expect((await ask(`${origin}/`)).headers["content-type"]).toContain("text/html");
  expect((await ask(`${origin}/api/state`)).status).toBe(401);
  expect((await logIn(origin, `${token}x`)).status).toBe(401);
  const first = await logIn(origin, token);
  expect(first.status).toBeLessThan(300);
  expect((await logIn(origin, token)).status).toBe(401);
  const state = await ask(`${origin}/api/state`, undefined, cookieOf(first));
  expect(state.status).toBe(200);
  expect(JSON.parse(state.body)).toMatchObject({
    visitor: { access: "admin", who: "you" },
    policies: { version: 1 },
  });
  process.interrupt();
  expect(await ended).toBe(0);
  expect(process.stdout()).not.toMatch(/failed/);
  await expect(ask(`${origin}/`)).rejects.toThrow(/ECONNREFUSED/);
});

test("the abusive one is limited by what the dashboard says, at once", async () => {
  const { process, ended, origin, token } = await started();
  const cookie = cookieOf(await logIn(origin, token));
  // More than the limit's burst: never.
  const asked = { rule: "api", key: "dodgy", cost: 30 };
  expect((await ask(`${origin}/v1/consume`, asked)).status).toBe(429);
  // The page calls it by its name.
  const mostDenied = async (): Promise<string> =>
    (await ask(`${origin}/api/state`, undefined, cookie)).body;
  await expect.poll(mostDenied).toMatch(/"rule":"api","id":"[\w-]+","label":"dodgy"/);
  const change = { change: "override", rule: "api", entries: { tenant: "dodgy" } };
  const changed = await ask(`${origin}/api/key`, { ...change, override: "exempt" }, cookie);
  expect(changed.status).toBe(200);
  await expect.poll(async () => (await ask(`${origin}/v1/consume`, asked)).status).toBe(200);
  process.interrupt();
  expect(await ended).toBe(0);
});

test.each([
  [["more"], "unexpected argument more"],
  [["--port", "x"], "--port"],
  [["--seconds", "-1"], "--seconds"],
  [["--redis", ""], "--redis needs a URL"],
  [["--listen", "192.0.2.1"], "cannot listen on 192.0.2.1"],
])("%j is refused", async (argv, why) => {
  const process = fakeProcess();
  expect(await run(["demo", ...argv], process.io)).toBe(2);
  expect(process.stderr()).toContain(why);
  expect(process.stdout()).toBe("");
});

test("a taken port is passed over", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const address = taken.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const free = await freePort("127.0.0.1", port);
  expect(free).toBeGreaterThan(port);
  expect(await freePort("127.0.0.1", free)).toBe(free);
});

test("a token that was used opens nothing, and a wrong one does not use it up", () => {
  const door = oneTimeDoor();
  expect(door.enter("wrong")).toBeUndefined();
  expect(door.enter(door.token)?.access()).toBe("admin");
  expect(door.enter(door.token)).toBeUndefined();
  expect(oneTimeDoor().token).not.toBe(door.token);
});

test("where nobody answers, all fail, and each says so once", async () => {
  const taken = createServer((socket) => void socket.destroy()).listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const address = taken.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const ending = new AbortController();
  const errors: Error[] = [];
  const [tenant] = TENANTS;
  if (tenant === undefined) throw new Error("no tenants");
  const played = playTenants([tenant], { host: "127.0.0.1", port }, ending.signal, (error) => {
    errors.push(error);
  });
  await expect.poll(() => errors.length).toBe(1);
  ending.abort();
  const [counts] = await played;
  expect(counts).toMatchObject({ allowed: 0, denied: 0 });
  expect(counts?.failed).toBe(counts?.attempted);
});
