/** Signals for what a part of the page asked: what goes on, what came, and what went wrong. */
import { signal, type Signal } from "@preact/signals";
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";
import { messageOf, ProblemError } from "./api.js";

export interface Held<Value> {
  readonly value: Signal<Value | undefined>;
  readonly problem: Signal<DashboardProblem | undefined>;
  readonly isBusy: Signal<boolean>;
  /** Keeps what comes of it; whether anything did. The former value stays until then. */
  load(promise: Promise<Value>): Promise<boolean>;
}

export function held<Value>(): Held<Value> {
  const value = signal<Value | undefined>(undefined);
  const problem = signal<DashboardProblem | undefined>(undefined);
  const isBusy = signal(false);
  return {
    value,
    problem,
    isBusy,
    async load(promise) {
      isBusy.value = true;
      try {
        value.value = await promise;
        problem.value = undefined;
        return true;
      } catch (error) {
        problem.value =
          error instanceof ProblemError
            ? error.problem
            : { status: 0, title: "Not done", detail: messageOf(error) };
        return false;
      } finally {
        isBusy.value = false;
      }
    },
  };
}
