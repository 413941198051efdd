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
/** What a screen reader is told once: the result of an action, a loss of the connection. */
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
    if (document.hidden) stop();
    else if (!isPaused.value && connection.value.kind !== "login") void poll();
  });
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token === undefined) return poll();
  // Neither a bookmark nor the history keeps it.
  history.replaceState(null, "", location.pathname + location.search);
  return logIn(decodeURIComponent(token)).catch((error: unknown) => {
    connection.value = { kind: "login", why: messageOf(error), canLogIn: true };
  });
}

/** @throws {ProblemError} */
export async function logIn(token: string): Promise<void> {
  await post("login", { token } satisfies LogIn);
  connection.value = { kind: "loading" };
  await poll();
}

/** @throws {ProblemError} */
export async function logOut(): Promise<void> {
  await post("logout", {});
  await poll();
}
