/** What the page knows, as signals; and the loop that asks for it. */
import { batch, computed, signal } from "@preact/signals";
import type { DashboardState, LogIn, Second } from "../../../packages/cli/src/dashboard/wire.js";
import { getState, messageOf, ProblemError, post } from "./api.js";
import { pollDelayMs } from "./delay.js";
import { mergeSeconds } from "./series.js";

export type Connection =
  | { readonly kind: "loading" }
  | { readonly kind: "live" }
  /** Without access; if there is a token to log in with, its field is shown. */
  | { readonly kind: "login"; readonly why: string; readonly canLogIn: boolean }
  | { readonly kind: "failing"; readonly why: string; readonly failures: number };

export const state = signal<DashboardState | undefined>(undefined);
export const seconds = signal<readonly Second[]>([]);
export const connection = signal<Connection>({ kind: "loading" });
export const isPaused = signal(false);
/** The result of the last action, for screen readers. Each action empties it first, so that an equal result is read again. */
export const said = signal("");

export const mayWrite = computed(() => state.value?.visitor.access === "admin");

/** The store's clock, as far as the page can know it between answers. */
let clockOffsetMs = 0;
export const nowMs = (): number => Date.now() + clockOffsetMs;

let failures = 0;
let isAsking = false;
let isWantedAgain = false;
let timer: number | undefined;

function take(answer: DashboardState): void {
  clockOffsetMs = answer.nowMs - Date.now();
  batch(() => {
    seconds.value = mergeSeconds(seconds.value, answer);
    state.value = answer;
  });
}

function fail(error: unknown): void {
  if (error instanceof ProblemError && error.problem.status === 401) {
    stop();
    batch(() => {
      state.value = undefined;
      seconds.value = [];
      const { canLogIn = true } = error.problem;
      connection.value = { kind: "login", why: error.message, canLogIn };
    });
    return;
  }
  failures += 1;
  connection.value = { kind: "failing", why: messageOf(error), failures };
}

function stop(): void {
  window.clearTimeout(timer);
  timer = undefined;
}

/** Asks once, unless that goes on already: then once more after it. The next time is set when it has ended. */
export async function poll(): Promise<void> {
  if (isAsking) {
    isWantedAgain = true;
    return;
  }
  stop();
  isAsking = true;
  isWantedAgain = false;
  const startedMs = performance.now();
  try {
    const answer = await getState(state.value?.next);
    failures = 0;
    if (answer !== undefined) take(answer);
    connection.value = { kind: "live" };
  } catch (error) {
    fail(error);
  } finally {
    isAsking = false;
  }
  if (isWantedAgain) {
    await poll();
  } else {
    schedule(performance.now() - startedMs);
  }
}

function schedule(tookMs: number): void {
  stop();
  if (document.hidden || isPaused.value || connection.value.kind === "login") return;
  const delayMs = pollDelayMs(failures, tookMs, Math.random());
  timer = window.setTimeout(() => void poll(), delayMs);
}

export function pause(value: boolean): void {
  isPaused.value = value;
  if (value) stop();
  else void poll();
}

/** Begins to ask, each second, while the page is seen. */
export async function startPolling(): Promise<void> {
  document.addEventListener("visibilitychange", () => {
    // Without access too: another tab may have logged in.
    if (document.hidden) stop();
    else if (!isPaused.value) void poll();
  });
  // An address with a token that is pasted over this one loads nothing.
  window.addEventListener("hashchange", () => {
    const token = takeToken();
    if (token !== undefined) void enter(token);
  });
  const token = takeToken();
  return token === undefined ? poll() : enter(token);
}

/** The token in the address, of which neither a bookmark nor the history keeps it. */
function takeToken(): string | undefined {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token === undefined) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(token);
  } catch {
    return token;
  }
}

/** With the token of an address: where it is used up, this browser may be the one that used it. */
async function enter(token: string): Promise<void> {
  try {
    await logIn(token);
  } catch (error) {
    await poll();
    const now = connection.value;
    if (now.kind === "login") connection.value = { ...now, why: messageOf(error) };
  }
}

/** @throws {ProblemError} */
export async function logIn(token: string): Promise<void> {
  await post("login", { token } satisfies LogIn);
  connection.value = { kind: "loading" };
  await poll();
}

/** Never rejects: where it fails, the page says so and stays. */
export async function logOut(): Promise<void> {
  try {
    await post("logout", {});
  } catch (error) {
    fail(error);
    return;
  }
  await poll();
}
