/** The loop that asks for the state, and the dialogs that change something: what is sent, kept, shown and forgotten. */
import { h } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BUSY, NOW_MS, PERMITS } from "../../../packages/cli/test/stress/dashboard/states.js";
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";
import { connection, isPaused, pause, poll, seconds, startPolling, state } from "../data/model.js";
import { Dialog } from "../parts/dialog.js";
import { change, draw, erase, type FakeNode, fakeDocument } from "../testing/fake-dom.js";
import { Changes } from "./changes.js";
import { Denied } from "./denied.js";
import { Header } from "./header.js";
import { LogIn } from "./login.js";
import { Semaphores } from "./stores.js";

/** What the server is asked, and what it answers. */
let asked: { readonly path: string; readonly body: unknown }[] = [];
let answers: (path: string) => Promise<{ readonly status: number; readonly body?: object }>;

async function fetched(path: string, init: RequestInit = {}): Promise<Response> {
  asked.push({ path, body: init.body === undefined ? undefined : JSON.parse(init.body as string) });
  const { status, body } = await answers(path);
  return new Response(body === undefined ? null : JSON.stringify(body), { status });
}

const posts = () => asked.filter(({ body }) => body !== undefined);

const ofState = { status: 200, body: BUSY };
const problem = (status: number): { status: number; body: DashboardProblem } => {
  return { status, body: { status, title: "No", detail: `It is a ${status}.` } };
};

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS });
  fakeDocument.hidden = false;
  vi.stubGlobal("document", fakeDocument);
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("location", { pathname: "/", search: "", hash: "" });
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 16));
  vi.stubGlobal("fetch", fetched);
  asked = [];
  answers = async (path) => (path.includes("/state") ? ofState : { status: 204 });
});

afterEach(async () => {
  pause(true);
  await erase();
  isPaused.value = false;
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("it asks each second, and goes on asking after a failure until there is an answer", async () => {
  await poll();
  await vi.advanceTimersByTimeAsync(3000);
  expect(asked.length).toBe(4);
  expect(connection.value.kind).toBe("live");
  answers = async () => problem(503);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(connection.value).toMatchObject({ kind: "failing", why: "It is a 503." });
  // What is shown stays, and the page says how old it is.
  expect(state.value?.name).toBe("edge-prod");
  answers = async () => ofState;
  await vi.advanceTimersByTimeAsync(31_000);
  expect(connection.value.kind).toBe("live");
});

test("whoever may not see the numbers any more has none of them", async () => {
  await poll();
  expect(seconds.value.length).toBeGreaterThan(0);
  answers = async () => problem(401);
  await vi.advanceTimersByTimeAsync(1000);
  expect(connection.value.kind).toBe("login");
  expect([state.value, seconds.value]).toEqual([undefined, []]);
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(before);
});

test("one question at a time: another that is wanted meanwhile is asked after it", async () => {
  let release = (): void => {};
  answers = () =>
    new Promise((resolve) => {
      release = () => resolve(ofState);
    });
  const first = poll();
  void poll();
  void poll();
  await vi.advanceTimersByTimeAsync(100);
  expect(asked.length).toBe(1);
  answers = async () => ofState;
  release();
  await first;
  expect(asked.length).toBe(2);
});

test("nothing is asked while the page is hidden, and at once when it is seen again", async () => {
  await startPolling();
  fakeDocument.hidden = true;
  fakeDocument.onSeen();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(1);
  fakeDocument.hidden = false;
  fakeDocument.onSeen();
  await vi.advanceTimersByTimeAsync(100);
  expect(asked.length).toBe(2);
});

test("the diff of one change is gone when another's is asked for", async () => {
  await poll();
  const root = await draw(h(Changes, {}));
  answers = async () => ({ status: 200, body: { lines: ["+ of version 42"] } });
  const ask = (name: string) =>
    change(async () => {
      root.one("button", name).fire("click");
      await vi.advanceTimersByTimeAsync(10);
    });
  await ask("Diff version 42");
  expect(root.one("pre").textContent).toBe("+ of version 42\n");
  answers = () => new Promise(() => {});
  await ask("Diff version 41");
  expect(root.all("pre")).toEqual([]);
});

test("a token that was taken is not kept in its field", async () => {
  const view = () => draw(h(LogIn, { why: "Log in.", canLogIn: true }));
  const root = await view();
  await type(root, "Token", "a-token-that-is-right");
  await submit(root);
  expect(posts()).toEqual([{ path: "/api/login", body: { token: "a-token-that-is-right" } }]);
  expect(field(await view(), "Token").value).toBe("");
});

/** The field with this label. */
const field = (root: FakeNode, label: string): FakeNode => root.one("label", label).one("input");

async function type(root: FakeNode, label: string, text: string): Promise<void> {
  const input = field(root, label);
  input.value = text;
  await change(() => input.fire("input"));
}

const submit = (root: FakeNode): Promise<void> =>
  change(async () => {
    root.one("form").fire("submit", { currentTarget: root.one("form") });
    await vi.advanceTimersByTimeAsync(50);
  });

test("a dialog keeps nothing of the one before: no comment, no limit, no error", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  const open = (name: string) => change(() => denied.one("button", name).fire("click"));
  await open("Override…");
  await type(root, "Limit", "500");
  await type(root, "Until", "2026-12-01T08:00");
  await type(root, "Comment", "migration");
  answers = async (path) => (path.includes("/state") ? ofState : problem(409));
  await submit(root);
  expect(root.one("div", "It is a 409.").attributes.get("role")).toBe("alert");
  const { id } = BUSY.topDenied[0] as { id: string };
  const untilMs = new Date("2026-12-01T08:00").getTime();
  const sent = { rule: "api", id, change: "override", override: { limit: 500 } };
  expect(posts()).toEqual([{ path: "/api/key", body: { ...sent, untilMs, comment: "migration" } }]);
  await change(() => root.one("button", "Cancel").fire("click"));
  await open("Override…");
  expect(root.all("div").map(({ textContent }) => textContent)).not.toContain("It is a 409.");
  for (const label of ["Limit", "Until", "Comment"]) {
    expect(field(root, label).value, label).toBe("");
  }
});

test("the permits of a key are listed, and ended after a question", async () => {
  answers = async (path) => {
    if (path.includes("/state")) return ofState;
    return { status: 200, body: path.endsWith("/permits") ? PERMITS : { ended: 1 } };
  };
  await poll();
  const root = await draw(h(Semaphores, {}));
  const dialog = await draw(h(Dialog, {}));
  await change(() => root.one("button", "reports").fire("click"));
  await type(root, "Key", "export");
  await submit(root);
  expect(posts()).toEqual([
    { path: "/api/permits", body: { semaphore: "reports", key: "export" } },
  ]);
  expect(root.one("form").one("p").textContent).toBe("2 of 20 held, 1 waiting");
  expect(root.one("ul").all("li")[0]?.textContent).toMatch(
    /^permit 1764230400000000, weight 2: since /,
  );
  // Typed since, and not listed.
  await type(root, "Key", "import");
  await change(() => root.one("button", "End all").fire("click"));
  expect(dialog.one("h2").textContent).toBe("End all permits of export in reports");
  expect(posts()).toHaveLength(1);
  await submit(dialog);
  expect(posts()[1]).toEqual({
    path: "/api/endpermits",
    body: { semaphore: "reports", key: "export" },
  });
});

test("what was listed of one semaphore is not shown as another's", async () => {
  const semaphores = BUSY.semaphores.map((each) => ({ ...each, canList: true }));
  const both = { status: 200, body: { ...BUSY, semaphores } };
  let answer = (): void => {};
  const asking = new Promise<void>((resolve) => {
    answer = resolve;
  });
  answers = async (path) => {
    if (path.includes("/state")) return both;
    await asking;
    return { status: 200, body: PERMITS };
  };
  await poll();
  const root = await draw(h(Semaphores, {}));
  await change(() => root.one("button", "reports").fire("click"));
  await type(root, "Key", "export");
  await submit(root);
  await change(() => root.one("button", "mail").fire("click"));
  await change(async () => {
    answer();
    await vi.advanceTimersByTimeAsync(100);
  });
  expect(root.one("h3").textContent).toBe("Permits of mail");
  expect(root.all("ul")).toHaveLength(0);
  await change(() => root.one("button", "reports").fire("click"));
});

test("the switch over all rules is lifted by null, and said to be done", async () => {
  const shadow = { ...BUSY, policies: { ...BUSY.policies, mode: "shadow" as const } };
  answers = async (path) =>
    path.includes("/state") ? { status: 200, body: shadow } : { status: 204 };
  await poll();
  const header = await draw(h(Header, { state: shadow }));
  const root = await draw(h(Dialog, {}));
  await change(() => header.one("button", "shadow…").fire("click"));
  const enforced = root.one("label", "Enforced").one("input");
  await change(() => enforced.fire("change"));
  expect(root.one("dl").textContent).toMatch(/^NowShadow.*ThenEnforced/);
  await submit(root);
  expect(posts()).toEqual([{ path: "/api/mode", body: { mode: null } }]);
  expect(root.one("dialog").open).toBe(false);
});
