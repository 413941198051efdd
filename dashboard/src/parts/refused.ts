/** What the server refused of the fields of the open dialog: each is said once, at its field. */
import { signal } from "@preact/signals";
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";

/** By the name of the field; what is changed is not refused any more. */
const refusals = signal<ReadonlyMap<string, string>>(new Map());

export const refusalOf = (name: string | undefined): string | undefined =>
  name === undefined ? undefined : refusals.value.get(name);

export function forgetRefusal(name: string | undefined): void {
  if (refusalOf(name) === undefined) return;
  refusals.value = new Map([...refusals.value].filter(([each]) => each !== name));
}

/** A message without the path that it begins with: the field, or the line before it, says where it is. */
export const withoutPath = (path: string, message: string): string =>
  message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;

/** Gives fields what is about them, and returns what is about none: undefined if nothing is left. */
export function giveToFields(
  problem: DashboardProblem | undefined,
  fieldOf: (path: string) => string | undefined,
): DashboardProblem | undefined {
  const given = new Map<string, string>();
  const others = problem?.problems?.filter(({ path, message }) => {
    const field = fieldOf(path);
    if (field === undefined) return true;
    if (!given.has(field)) given.set(field, withoutPath(path, message));
    return false;
  });
  refusals.value = given;
  if (problem === undefined || given.size === 0) return problem;
  return others?.length === 0 ? undefined : { ...problem, problems: others ?? [] };
}
