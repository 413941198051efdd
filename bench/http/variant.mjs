/** A server that is measured, one of several in a process. */

/** @typedef {{ port: number, close: () => Promise<void> }} Variant */

/** @typedef {{ PEER: string, variants: (scenario: import("./scenarios.mjs").Scenario, url: string) => Promise<Record<string, Variant>> }} Framework */

/** @type {Readonly<Record<string, () => Promise<Framework>>>} */
export const FRAMEWORKS = {
  express: () => import("./express.mjs"),
  fastify: () => import("./fastify.mjs"),
  hono: () => import("./hono.mjs"),
};
