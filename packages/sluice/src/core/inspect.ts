/** What `console.log` shows of an object of ours, instead of its fields: short, and without what may be a secret. */

/** Node's, and Bun's and Deno's, for a method that says how its object is shown. */
export const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom");

/** What such a method gets: how much deeper it may go, null without a bound; and how any value is shown. */
export type InspectArguments = [
  depth: number | null,
  options: object,
  inspect: (value: unknown, options: object) => string,
];

/** The name of the object's class, with `fields` instead of its properties `hidden`, and with all that a subclass adds. */
export function inspected(
  object: object,
  fields: Readonly<Record<string, unknown>>,
  hidden: readonly string[],
  [depth, options, inspect]: InspectArguments,
): string {
  const { name } = object.constructor;
  if (depth !== null && depth < 0) return `[${name}]`;
  const own = Object.entries(object).filter(([property]) => !hidden.includes(property));
  return `${name} ${inspect({ ...fields, ...Object.fromEntries(own) }, { ...options, depth })}`;
}
