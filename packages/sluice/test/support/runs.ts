/** How often tests repeat what is random, by the one knob there is. */

/** `SLUICE_RUNS` is a factor: 1 if it is not set, 0.1 for `npm test`, 10 for a night. */
const factor = Number(process.env["SLUICE_RUNS"] ?? 1);
if (!(factor > 0)) throw new Error(`SLUICE_RUNS is ${factor}, and must be a positive number`);

/** So many runs of a property, traces or seconds, times `SLUICE_RUNS`; never fewer than `least`. */
export function runs(count: number, least = 1): number {
  return Math.max(least, Math.ceil(count * factor));
}
