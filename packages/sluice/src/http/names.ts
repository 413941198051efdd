/** Limits of one answer are told apart by their names. */
import { InvalidOptionError } from "../core/errors.js";
import type { CheckedCharge } from "./charge.js";
import type { Chargeable } from "./chargeable.js";

/** Pairs that were compared: a set-up has few, and requests are many. */
const compared = new WeakMap<Chargeable, WeakSet<Chargeable>>();

/**
 * Policies that are shown must have names of their own.
 *
 * @throws InvalidOptionError
 */
export function checkNames(charges: readonly CheckedCharge[]): void {
  for (let i = 1; i < charges.length; i++) {
    for (let j = 0; j < i; j++) checkPair(charges, j, i);
  }
}

function checkPair(charges: readonly CheckedCharge[], i: number, j: number): void {
  const [a, b] = [charges[i] as CheckedCharge, charges[j] as CheckedCharge];
  if (!a.show || !b.show) return;
  let others = compared.get(a.to);
  if (others?.has(b.to) === true) return;
  const shared = namesOf(a.to).find((name) => namesOf(b.to).includes(name));
  if (shared !== undefined) {
    throw new InvalidOptionError(
      `charge[${j}].limiter`,
      shared,
      `policies named apart from those of charge[${i}], since both are stated in the answer's fields; give one a name, ` +
        "such as tokenBucket({ name: ... }), or set show: false",
    );
  }
  if (others === undefined) compared.set(a.to, (others = new WeakSet()));
  others.add(b.to);
}

/** What a shadow is called shows nowhere. */
function namesOf(to: Chargeable): readonly string[] {
  if (to.kind === "semaphore") return [to.quota.name];
  return to.pipeline.enforce ? (to.policies ?? []).map(({ name }) => name) : [];
}
