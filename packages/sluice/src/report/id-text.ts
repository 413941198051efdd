/** The ids that a policy denied most, as they are stored. */
import type { ListedIds } from "./denied-ids.js";
import { type Numbers, numbersFromText, numbersToText } from "./tally.js";
import type { CountedKey } from "./top-keys.js";

const FLOOR = "@floor";
/** Behind an id: by how much its count may be too high. No id has it. */
const ERROR = "!";

export function idsToText({ floor, ids }: ListedIds): string {
  const numbers: Numbers = new Map([[FLOOR, floor]]);
  for (const { key, count, error } of ids) {
    numbers.set(key, count);
    if (error > 0) numbers.set(`${key}${ERROR}`, error);
  }
  return numbersToText(numbers);
}

/** Undefined if its format is unknown. */
export function idsFromText(text: string): ListedIds | undefined {
  const numbers = numbersFromText(text);
  if (numbers === undefined) return undefined;
  const ids: CountedKey[] = [];
  for (const [key, count] of numbers) {
    if (key === FLOOR || key.endsWith(ERROR)) continue;
    ids.push({ key, count, error: numbers.get(`${key}${ERROR}`) ?? 0 });
  }
  return { floor: numbers.get(FLOOR) ?? 0, ids };
}
