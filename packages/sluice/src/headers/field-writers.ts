/** The forms in which an answer states its limits: one writer each, and users can bring their own. */
import { systemClock } from "../core/clock.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import { nearest } from "../core/slips.js";
import type { RateLimitForm } from "./rate-limit.js";
import { clamp, type StatedLimit } from "./stated-limit.js";
import { MAX_INTEGER } from "./structured-field.js";

/** A header field: its name, and its value. */
export type Field = readonly [name: string, value: string];

/** Fields of an answer, each name once. */
export type Fields = readonly Field[];

/** Writes limits, one at least, as fields; `nowMs` is the time of the answer since the Unix epoch. */
export type FieldWriter = (limits: readonly StatedLimit[], nowMs: number) => Fields;

/** The same, which reads the clock itself, and only if a form states a time. */
export type FormWriter = (limits: readonly StatedLimit[], nowMs?: number) => Fields;

/** A form by its name, several that have no field in common, a writer of one's own, or none. */
export type FieldForm = RateLimitForm | readonly RateLimitForm[] | FieldWriter | false;

const FORMS: Readonly<Record<RateLimitForm, FormWriter>> = {
  "draft-11": (limits) => [
    ["RateLimit-Policy", policyList(limits)],
    ["RateLimit", limitList(limits)],
  ],
  "draft-07": (limits) => {
    const { quota, remaining, resetSeconds } = decidingOf(limits);
    const reset = resetSeconds === undefined ? "" : `, reset=${resetSeconds}`;
    return [
      ["RateLimit-Policy", unnamedPolicies(limits)],
      ["RateLimit", `limit=${quota.units}, remaining=${remaining}${reset}`],
    ];
  },
  "draft-06": (limits) => [
    ["RateLimit-Policy", unnamedPolicies(limits)],
    ...separate("RateLimit-", decidingOf(limits), 0),
  ],
  "x-ratelimit": (limits, nowMs = now()) => separate("X-RateLimit-", decidingOf(limits), nowMs),
};

const NAMES = Object.keys(FORMS) as readonly RateLimitForm[];

function now(): number {
  return systemClock.nowUs() / 1e3;
}

function policyList(limits: readonly StatedLimit[]): string {
  let list = (limits[0] as StatedLimit).quota.policyItem;
  for (let i = 1; i < limits.length; i++) {
    list += `, ${(limits[i] as StatedLimit).quota.policyItem}`;
  }
  return list;
}

function limitList(limits: readonly StatedLimit[]): string {
  let list = limitItem(limits[0] as StatedLimit);
  for (let i = 1; i < limits.length; i++) list += `, ${limitItem(limits[i] as StatedLimit)}`;
  return list;
}

function limitItem({ quota: { limitPrefix }, remaining, resetSeconds }: StatedLimit): string {
  const item = limitPrefix + remaining;
  return resetSeconds === undefined ? item : `${item};t=${resetSeconds}`;
}

/** `100;w=60, 1000;w=86400` */
function unnamedPolicies(limits: readonly StatedLimit[]): string {
  return limits
    .map(({ quota: { units, windowSeconds } }) =>
      windowSeconds === undefined ? `${units}` : `${units};w=${windowSeconds}`,
    )
    .join(", ");
}

function separate(
  prefix: string,
  { quota, remaining, resetSeconds }: StatedLimit,
  originMs: number,
): Fields {
  const limit: Fields = [
    [`${prefix}Limit`, `${quota.units}`],
    [`${prefix}Remaining`, `${remaining}`],
  ];
  if (resetSeconds === undefined) return limit;
  const reset = Math.ceil(clamp(originMs / 1e3 + resetSeconds, MAX_INTEGER));
  return [...limit, [`${prefix}Reset`, `${reset}`]];
}

/** For forms that have room for one: the limit that denied for longest, else the one with least remaining. */
function decidingOf(limits: readonly StatedLimit[]): StatedLimit {
  return limits.reduce((best, limit) => (weighs(limit, best) ? limit : best));
}

function weighs(a: StatedLimit, b: StatedLimit): boolean {
  if (a.deniedForMs !== b.deniedForMs) return a.deniedForMs > b.deniedForMs;
  return a.remaining < b.remaining;
}

/**
 * The writer of a form; undefined if no field is to be written.
 *
 * @throws InvalidOptionError
 */
export function writerOf(option: string, form: unknown): FormWriter | undefined {
  if (form === false) return undefined;
  if (typeof form === "function") {
    const write = form as FieldWriter;
    return (limits, nowMs = now()) => write(limits, nowMs);
  }
  if (!Array.isArray(form)) return FORMS[formNamed(option, form)];
  const names = form.map((each, i) => formNamed(`${option}[${i}]`, each));
  if (names.length === 0) return undefined;
  checkApart(option, names);
  const writers = names.map((name) => FORMS[name]);
  const [only] = writers;
  return writers.length === 1 ? only : (limits, nowMs) => inTurn(writers, limits, nowMs);
}

/** The fields of one form after another. RateLimit-Policy, which several write each in its own way, is the first's. */
function inTurn(
  writers: readonly FormWriter[],
  limits: readonly StatedLimit[],
  nowMs: number | undefined,
): Fields {
  const fields: Field[] = [];
  for (const write of writers) {
    const known = fields.length;
    for (const field of write(limits, nowMs)) {
      if (!fields.slice(0, known).some(([name]) => name === field[0])) fields.push(field);
    }
  }
  return fields;
}

function formNamed(option: string, form: unknown): RateLimitForm {
  const known = NAMES.find((name) => name === form);
  if (known !== undefined) return known;
  const near = typeof form === "string" ? nearest(form, NAMES) : undefined;
  throw new InvalidOptionError(
    option,
    withoutText(form),
    `${NAMES.map((name) => `"${name}"`).join(", ")}, a list of them, a function, or false`,
    near === undefined ? {} : { hint: `did you mean "${near}"?` },
  );
}

/** Refuses two forms that write the same field, each in its own way. */
function checkApart(option: string, names: readonly RateLimitForm[]): void {
  const whole = names.filter((name) => name === "draft-11" || name === "draft-07");
  if (new Set(names).size === names.length && whole.length < 2) return;
  throw new InvalidOptionError(
    option,
    names.join(", "),
    'forms that write different fields: "draft-11" and "draft-07" both write RateLimit',
  );
}
