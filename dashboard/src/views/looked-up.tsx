/** What was asked about a key, and what came: shared by all that looks up or changes one. */
import { signal } from "@preact/signals";
import type { LookedUp, LookUp } from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { parseEntries } from "../data/entries.js";
import { held } from "../data/held.js";
import { nowMs } from "../data/model.js";

export const entriesText = signal("");
export const ruleText = signal("");
export const planText = signal("");

/** With what it, and a change of it, is about, whatever is typed in the meantime. */
interface Answered extends LookedUp {
  readonly asked: LookUp;
  readonly atMs: number;
}

export const answer = held<Answered>();

/** Of what was looked up, or changed and looked up again. */
export const answeredOf = (looked: LookedUp, asked: LookUp): Answered => {
  return { ...looked, asked, atMs: nowMs() };
};

const ask = async (asked: LookUp): Promise<Answered> =>
  answeredOf(await post<LookedUp>("lookup", asked), asked);

export async function lookUp(): Promise<boolean> {
  const rule = ruleText.value.trim();
  const plan = planText.value.trim();
  const typed = async (): Promise<Answered> => {
    const entries = parseEntries(entriesText.value);
    return ask({ entries, ...(rule !== "" && { rule }), ...(plan !== "" && { plan }) });
  };
  return answer.load(typed());
}

/** What is shown, asked again: what is typed since is another question. */
export async function lookUpAgain(): Promise<void> {
  const asked = answer.value.value?.asked;
  if (asked !== undefined) await answer.load(ask(asked));
}

/** A key of which nothing but its id is known. */
export async function lookUpId(rule: string, id: string): Promise<void> {
  entriesText.value = "";
  ruleText.value = rule;
  await answer.load(ask({ rule, id }));
  document.querySelector<HTMLElement>("#lookup-title")?.focus();
}

/** Leads to the form, for a rule. */
export function lookUpIn(rule: string): void {
  ruleText.value = rule;
  document.querySelector<HTMLInputElement>("#lookup input")?.focus();
}
