/** The fixed window for the audit, the command line and the tests. */
import type { WindowsBound } from "../bound.js";
import { LIMIT, textField, WINDOW } from "../fields.js";
import { RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { fixedWindowCases } from "./cases.js";
import { fixedWindow, fixedWindowAlgorithm, type FixedWindowPolicy } from "./policy.js";

export const fixedWindowTools: AlgorithmTools<FixedWindowPolicy> = {
  algorithm: fixedWindowAlgorithm,
  isMonotone: ({ align }) => align === "clock",
  bound: ({ limit, window, align }) => ({
    kind: "windows",
    limit,
    name: ({ span }) => `window of ${span(window)}`,
    windowOf: align === "clock" ? clockWindows(window) : openedWindows(window),
  }),
  describe({ limit, window, align }, { number, span }) {
    const opening = align === "first" ? "opened by the first hit" : "aligned to the clock";
    return `${number(limit)} in each window of ${span(window)}, ${opening}`;
  },
  fields: [LIMIT, WINDOW, textField("align", "HOW", "clock (default) or first")],
  spanMs: ({ window }) => window,
  randomPolicy(random, name) {
    const [limit, window] = random.pick(RATES);
    return fixedWindow({ name, limit, window, align: random.pick(["clock", "first"] as const) });
  },
  cases: { "fixed window": fixedWindowCases },
};

function clockWindows(window: number): WindowsBound["windowOf"] {
  const windowUs = Math.round(window * 1e3);
  return (atUs) => {
    // The remainder is exact for integers, which a rounded quotient is not.
    const fromUs = atUs - (atUs % windowUs);
    return { fromUs, toUs: fromUs + windowUs };
  };
}

/** A window opens at the first admission that no earlier window holds. */
function openedWindows(window: number): WindowsBound["windowOf"] {
  const windowUs = Math.round(window * 1e3);
  return (atUs) => ({ fromUs: atUs, toUs: atUs + windowUs });
}
