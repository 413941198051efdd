/** Sets and lists a limiter's overrides, on behalf of its users. */
import { InvalidOptionError } from "../core/errors.js";
import { checkKey, checkSlot } from "../core/key.js";
import type { Override } from "../events/changes.js";
import { checkOverride, type OverrideOptions } from "./override-options.js";
import type { ListedOverride, Overrides } from "./overrides.js";
import type { Pipeline } from "./pipeline.js";

export async function setOverride(
  limiter: Pipeline,
  key: string,
  override: Override | undefined,
  options: OverrideOptions,
): Promise<void> {
  const { resolver } = limiter;
  const overrides = overridesOf(limiter);
  checkKey(key);
  const change = checkOverride(override, options);
  const { slot } = options;
  checkSlot(slot);
  const to = change.to?.override;
  if (to !== undefined && typeof to !== "string") resolver.checkOverride(to);
  await overrides.set(limiter.identify(key, slot), change);
}

export async function listOverrides(limiter: Pipeline): Promise<readonly ListedOverride[]> {
  const overrides = overridesOf(limiter);
  await overrides.refresh();
  return overrides.list();
}

function overridesOf({ closing, resolver }: Pipeline): Overrides {
  closing.throwIfClosed();
  if (resolver.overrides !== undefined) return resolver.overrides;
  const allowed = "a limiter made with overrides: true, because its store is outside the process";
  throw new InvalidOptionError("overrides", false, allowed);
}
