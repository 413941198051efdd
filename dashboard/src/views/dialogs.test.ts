/** The loop that asks for the state, and the dialogs that change something: what is sent, kept, shown and forgotten. */
import { h } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  BUSY,
  LOOKED_UP,
  NOW_MS,
  PERMITS,
} from "../../../packages/cli/test/stress/dashboard/states.js";
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";
import {
  connection,
  isPaused,
  nowMs,
  pause,
  poll,
  said,
  seconds,
  startPolling,
  state,
} from "../data/model.js";
import { Dialog } from "../parts/dialog.js";
import { change, draw, erase, type FakeNode, fakeDocument } from "../testing/fake-dom.js";
import { Changes } from "./changes.js";
import { Denied } from "./denied.js";
import { Header } from "./header.js";
import { LogIn } from "./login.js";
import { LookUpKey } from "./lookup.js";
import { Semaphores } from "./stores.js";

/** What the server is asked, and what it answers. */
let asked: { readonly path: string; readonly body: unknown }[] = [];
let answers: (path: string) => Promise<{ readonly status: number; readonly body?: object }>;

async function fetched(path: string, init: RequestInit = {}): Promise<Response> {
  asked.push({ path, body: init.body === undefined ? undefined : JSON.parse(init.body as string) });
  const { status, body } = await answers(path);
  return new Response(body === undefined ? null : JSON.stringify(body), { status });
}

/** What the page does when the part of its address behind # is another. */
let onHash: () => void;

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
  vi.stubGlobal("history", {
    replaceState: (_: unknown, __: string, to: string) => {
      location.hash = new URL(to, "http://page.test").hash;
    },
  });
  vi.stubGlobal("addEventListener", (event: string, listener: () => void) => {
    if (event === "hashchange") onHash = listener;
  });
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
  expect(connection.value).toMatchObject({ kind: "failing", why: "No: It is a 503." });
  // What is shown stays, and the page says how old it is.
  expect(state.value?.name).toBe("edge-prod");
  answers = async () => ofState;
  await vi.advanceTimersByTimeAsync(31_000);
  expect(connection.value.kind).toBe("live");
});

test("paused it asks nothing, though an answer was under way, and asks at once when it goes on", async () => {
  let release = (): void => {};
  answers = () =>
    new Promise((resolve) => {
      release = () => resolve(ofState);
    });
  void poll();
  pause(true);
  release();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(1);
  answers = async () => ofState;
  pause(false);
  await vi.advanceTimersByTimeAsync(10);
  expect(asked.length).toBe(2);
  // And with the next question set already.
  pause(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(2);
});

test("times are the store's, though the visitor's clock is an hour off", async () => {
  for (const off of [3_600_000, -3_600_000]) {
    answers = async () => ({ status: 200, body: { ...BUSY, nowMs: Date.now() + off } });
    await poll();
    expect(nowMs()).toBe(Date.now() + off);
    answers = async () => problem(503);
    await vi.advanceTimersByTimeAsync(2000);
    expect(nowMs() - (state.value?.nowMs ?? 0)).toBe(2000);
  }
});

test("a server that says nothing is given up after 20 seconds", async () => {
  const giveUp = new AbortController();
  const within = vi.spyOn(AbortSignal, "timeout").mockReturnValue(giveUp.signal);
  vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
    return new Promise((__, reject) => {
      signal?.addEventListener("abort", () => reject(new Error("aborted")));
    });
  });
  const asking = poll();
  giveUp.abort();
  await asking;
  expect(within).toHaveBeenCalledWith(20_000);
  within.mockRestore();
  expect(connection.value).toMatchObject({
    kind: "failing",
    why: "The server of this page does not answer.",
  });
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

test("a token in the address is taken from it and sent, at the start and when it is pasted later", async () => {
  location.hash = "#token=at%2Bfirst";
  await startPolling();
  expect(location.hash).toBe("");
  location.hash = "#rules";
  onHash();
  location.hash = "#token=later";
  onHash();
  await vi.advanceTimersByTimeAsync(10);
  expect(location.hash).toBe("");
  // One that is not encoded as it should be is sent as it is.
  location.hash = "#token=%zz";
  onHash();
  await vi.advanceTimersByTimeAsync(10);
  expect(posts().map(({ body }) => body)).toEqual(
    ["at+first", "later", "%zz"].map((token) => ({ token })),
  );
});

test("a used token is no matter to a browser that is logged in; to another its page says what is wrong", async () => {
  answers = async (path) => (path.includes("/state") ? ofState : problem(401));
  location.hash = "#token=used";
  await startPolling();
  expect(connection.value.kind).toBe("live");
  answers = async (path) =>
    path.includes("/state")
      ? problem(401)
      : { status: 401, body: { status: 401, title: "The token is wrong", detail: "it is used" } };
  location.hash = "#token=used";
  onHash();
  await vi.advanceTimersByTimeAsync(10);
  expect(connection.value).toMatchObject({
    kind: "login",
    why: "The token is wrong: it is used",
  });
  // Meanwhile another tab logs in.
  answers = async () => ofState;
  fakeDocument.onSeen();
  await vi.advanceTimersByTimeAsync(10);
  expect(connection.value.kind).toBe("live");
});

test("a visitor whose logout fails stays on the page, which says why", async () => {
  await poll();
  const header = await draw(h(Header, { state: BUSY }));
  answers = async () => problem(503);
  await change(async () => {
    header.one("button", "Log out").fire("click");
    await vi.advanceTimersByTimeAsync(10);
  });
  expect(connection.value).toMatchObject({ kind: "failing", why: "No: It is a 503." });
  expect(state.value?.name).toBe("edge-prod");
});

test("an answer that is no JSON is said to be that, and what broke off is asked for again", async () => {
  await poll();
  vi.stubGlobal("fetch", async () => new Response("<html>", { headers: { etag: '"new"' } }));
  await vi.advanceTimersByTimeAsync(1000);
  expect(connection.value).toMatchObject({ kind: "failing", why: /^The answer cannot be read/ });
  const tags: unknown[] = [];
  vi.stubGlobal("fetch", async (_: string, { headers }: RequestInit) => {
    tags.push(new Headers(headers).get("if-none-match"));
    return Response.json(BUSY);
  });
  await vi.advanceTimersByTimeAsync(5000);
  expect(tags.length).toBeGreaterThan(0);
  expect(tags).not.toContain('"new"');
});

test("what is done twice is said twice", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  const told: string[] = [];
  const end = said.subscribe((text) => void told.push(text));
  for (let i = 0; i < 2; i++) {
    await change(() => denied.one("button", "Reset…").fire("click"));
    answers = async (path) =>
      path.includes("/state") ? ofState : { status: 200, body: { rules: [LOOKED_UP] } };
    await submit(root);
  }
  end();
  expect(told.filter((text) => text === "Reset.")).toHaveLength(2);
});

test("a dialog that was left does not close the next one, nor fail it", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  const held: ((answer: { status: number; body?: object }) => void)[] = [];
  answers = async (path) =>
    path.includes("/state") ? ofState : new Promise((resolve) => void held.push(resolve));
  const left = async (name: string): Promise<void> => {
    await change(() => denied.one("button", name).fire("click"));
    await submit(root);
    await change(() => root.one("button", "Cancel").fire("click"));
  };
  await left("Reset…");
  await left("Unblock…");
  await change(() => denied.one("button", "Block…").fire("click"));
  await change(async () => {
    held[0]?.({ status: 200, body: { rules: [LOOKED_UP] } });
    held[1]?.(problem(409));
    await vi.advanceTimersByTimeAsync(10);
  });
  expect(root.one("dialog").open).toBe(true);
  expect(root.one("h2").textContent).toMatch(/^Block /);
  expect(root.textContent).not.toContain("It is a 409.");
  // And it can be carried out, once.
  await submit(root);
  await submit(root);
  expect(held).toHaveLength(3);
  await change(() => root.one("button", "Cancel").fire("click"));
});

test("a browser that tells late that a dialog was closed does not end the next one", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  const dialog = root.one("dialog");
  const next = (): void => denied.one("button", "Block…").fire("click");
  const told = (): void => dialog.fire("close");
  const both = (): void => {
    next();
    told();
  };
  for (const steps of [[next, told], [both]]) {
    await change(() => denied.one("button", "Reset…").fire("click"));
    dialog.open = false;
    for (const step of steps) await change(step);
    expect(dialog.open).toBe(true);
    expect(root.one("h2").textContent).toMatch(/^Block /);
    await change(() => root.one("button", "Cancel").fire("click"));
    expect(root.textContent).toBe("");
  }
});

test("the diff of a change that was opened before does not come under the next one", async () => {
  await poll();
  const root = await draw(h(Changes, {}));
  let slow = (): void => {};
  answers = () =>
    new Promise((resolve) => {
      slow = () => resolve({ status: 200, body: { lines: ["+ of version 41"] } });
    });
  await change(() => root.one("button", "Diff version 41").fire("click"));
  answers = async () => ({ status: 200, body: { lines: ["+ of version 40"] } });
  await change(async () => {
    root.one("button", "Diff version 40").fire("click");
    await vi.advanceTimersByTimeAsync(10);
    slow();
    await vi.advanceTimersByTimeAsync(10);
  });
  expect(root.one("pre").textContent).toBe("+ of version 40\n");
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
  // As it is copied with the blank before it.
  await type(root, "Token", " a-token-that-is-right ");
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
  expect(root.one("div", "No: It is a 409.").attributes.get("role")).toBe("alert");
  const { id } = BUSY.topDenied[0] as { id: string };
  const untilMs = new Date("2026-12-01T08:00").getTime();
  const sent = { rule: "api", id, change: "override", override: { limit: 500 } };
  expect(posts()).toEqual([{ path: "/api/key", body: { ...sent, untilMs, comment: "migration" } }]);
  await change(() => root.one("button", "Cancel").fire("click"));
  await open("Override…");
  expect(root.all("div").map(({ textContent }) => textContent)).not.toContain("No: It is a 409.");
  for (const label of ["Limit", "Until", "Comment"]) {
    expect(field(root, label).value, label).toBe("");
  }
});

test("what is refused of a field is said once, at the field, until it is changed", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  await change(() => denied.one("button", "Override…").fire("click"));
  await type(root, "Limit", "45");
  await type(root, "Period", "soon");
  const path = "overrides[2].policy.period";
  const message = `${path}: "soon" is not allowed; expected a duration`;
  const problems = [{ path, message }];
  const refused = { ...problem(400).body, detail: message, problems };
  answers = async (to) => (to.includes("/state") ? ofState : { status: 400, body: refused });
  await submit(root);
  const times = () => root.textContent.split("is not allowed").length - 1;
  expect(times()).toBe(1);
  const period = root.all("div", "field").find((each) => each.textContent.startsWith("Period"));
  expect(period?.one("p").textContent).toBe('"soon" is not allowed; expected a duration');
  expect(field(root, "Period").attributes.get("aria-invalid")).toBe("true");
  await type(root, "Period", "1m");
  expect([times(), field(root, "Period").attributes.has("aria-invalid")]).toEqual([0, false]);
  // Nor in the next dialog.
  await submit(root);
  expect(times()).toBe(1);
  await change(() => root.one("button", "Cancel").fire("click"));
  await change(() => denied.one("button", "Override…").fire("click"));
  expect(times()).toBe(0);
});

test("problems of no field are listed once, and the one of a field is not among them", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  await change(() => denied.one("button", "Override…").fire("click"));
  const problems = ["overrides[0].policy.limit", "rules[3].key"].map((path) => {
    return { path, message: `${path}: no` };
  });
  const refused = { ...problem(400).body, detail: "overrides[0].policy.limit: no (and 1 more)" };
  const body = { ...refused, problems };
  answers = async (to) => (to.includes("/state") ? ofState : { status: 400, body });
  await submit(root);
  const alert = root.all("div").find((each) => each.attributes.get("role") === "alert");
  expect(alert?.textContent).toBe("No:rules[3].key: no");
});

test("an override says its whole limit: what is left empty as the rule has it, or by default", async () => {
  await poll();
  const denied = await draw(h(Denied, {}));
  const root = await draw(h(Dialog, {}));
  const then = () => root.one("dl").all("dd")[1]?.textContent;
  await change(() => denied.one("button", "Override…").fire("click"));
  await type(root, "Limit", "45");
  expect(then()).toBe("a limit of 45 per 1m, burst 200 as in the rule, for ever");
  await type(root, "Period", "1h");
  await type(root, "Burst", "9");
  expect(then()).toBe("a limit of 45 per 1h, burst 9, for ever");
  await change(() => root.one("button", "Cancel").fire("click"));
  const [api] = BUSY.rules;
  if (api === undefined) throw new Error("no rule");
  const fields = [
    { name: "limit", own: "100" },
    { name: "period", own: "1m" },
    { name: "burst", otherwise: "the limit" },
  ];
  await change(() => {
    state.value = { ...BUSY, rules: [{ ...api, fields }] };
  });
  await change(() => denied.one("button", "Override…").fire("click"));
  await type(root, "Limit", "45");
  expect(then()).toBe("a limit of 45 per 1m, burst the limit, for ever");
});

test("what was looked up is asked again as it was, whatever is typed since", async () => {
  answers = async (path) =>
    path.includes("/state") ? ofState : { status: 200, body: { rules: [LOOKED_UP] } };
  await poll();
  const root = await draw(h(LookUpKey, {}));
  await type(root, "Entries", "user=acme");
  await type(root, "Plan", "gold");
  await submit(root);
  await type(root, "Entries", "user=initech");
  await change(async () => {
    root.one("button", "Refresh").fire("click");
    await vi.advanceTimersByTimeAsync(50);
  });
  const body = { entries: { user: "acme" }, plan: "gold" };
  expect(posts()).toEqual([
    { path: "/api/lookup", body },
    { path: "/api/lookup", body },
  ]);
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
