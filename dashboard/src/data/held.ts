/** Signals for what a part of the page asked: what goes on, what came, and what went wrong. */
import { signal, type Signal } from "@preact/signals";
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";
import { messageOf, ProblemError } from "./api.js";

export interface Held<Value> {
  readonly value: Signal<Value | undefined>;
  readonly problem: Signal<DashboardProblem | undefined>;
  readonly isBusy: Signal<boolean>;
  /**
   * Keeps what comes of it; whether anything did. The former value stays until then. What comes of an earlier one is
   * dropped, for nobody waits for it any more.
   */
  load(promise: Promise<Value>): Promise<boolean>;
}

const problemOf = (error: unknown): DashboardProblem =>
  error instanceof ProblemError
    ? error.problem
    : { status: 0, title: "", detail: messageOf(error) };

export function held<Value>(): Held<Value> {
  const value = signal<Value | undefined>(undefined);
  const problem = signal<DashboardProblem | undefined>(undefined);
  const isBusy = signal(false);
  let last = 0;
  return {
    value,
    problem,
    isBusy,
    async load(promise) {
      last += 1;
      const own = last;
      isBusy.value = true;
      try {
        const came = await promise;
        if (own !== last) return false;
        value.value = came;
        problem.value = undefined;
        return true;
      } catch (error) {
        if (own === last) problem.value = problemOf(error);
        return false;
      } finally {
        if (own === last) isBusy.value = false;
      }
    },
  };
}
