/** Finds an order that explains what happened when a plan was played. */
import { expect } from "vitest";
import { type Happened, type Plan, play, type Stage } from "../support/concurrent.js";
import { linearize } from "../support/linearize.js";
import { PureModel } from "../support/pure-model.js";

/** Plays a plan, and throws unless what happened has an order. */
export async function explain(plan: Plan, stage: Stage): Promise<readonly Happened[]> {
  const history = await play(plan, stage);
  expect(history.filter(({ isTimely }) => !isTimely)).toEqual([]);
  const { found, order } = await linearize(history, new PureModel(plan, stage.namespace));
  if (!found) throw new Error(`no order explains more than these:\n${tell(history, order)}`);
  return history;
}

function tell(history: readonly Happened[], order: readonly Happened[]): string {
  const left = history.filter((call) => !order.includes(call));
  const line = ({ client, name, begin, end, atUs, outcome }: Happened): string =>
    `client ${client} [${begin}, ${end}] at ${atUs}: ${name} got ${JSON.stringify(outcome)}`;
  return [...order.map(line), "and none of these can follow:", ...left.map(line)].join("\n");
}
