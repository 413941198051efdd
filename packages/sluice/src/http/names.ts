/** Limits of one answer are distinguished by their names. */
import { InvalidOptionError } from "../core/errors.js";
import type { AskedCharge } from "./charge.js";

/**
 * Policies that are shown must have distinct names. Those of a function are not known here: of two with the same name the
 * first is stated.
 *
 * @throws InvalidOptionError
 */
export function checkNames(asked: readonly AskedCharge[]): void {
  for (let i = 1; i < asked.length; i++) {
    for (let j = 0; j < i; j++) checkPair(asked, j, i);
  }
}

function checkPair(asked: readonly AskedCharge[], i: number, j: number): void {
  const [a, b] = [asked[i] as AskedCharge, asked[j] as AskedCharge];
  if (!a.show || !b.show) return;
  for (const name of a.to.names) {
    if (!b.to.names.includes(name)) continue;
    throw new InvalidOptionError(
      `charge[${j}].limiter`,
      name,
      `policies whose names differ from those of charge[${i}], because the header fields list both; give one a name, ` +
        "such as tokenBucket({ name: ... }), or set show: false",
    );
  }
}
