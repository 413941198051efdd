/** Which address does what, who may, and how long its body is. */
import type { Actions } from "./actions.js";
import type { Fields } from "./read-body.js";
import type { Access, Visitor } from "./wire.js";

export interface BoardRoute {
  readonly method: "GET" | "POST";
  /** What a visitor needs. */
  readonly access: Access;
  /** Bytes of the body. */
  readonly most: number;
  /** Undefined: there is nothing to say. */
  readonly answer: (actions: Actions, body: Fields, visitor: Visitor) => unknown;
}

const SHORT = 65_536;
/** A document of a megabyte, as a text in JSON. */
const LONG = 4_194_304;

/** What is asked under `api/`, beside the state and the login. */
export const ROUTES: ReadonlyMap<string, BoardRoute> = new Map<string, BoardRoute>([
  [
    "lookup",
    { method: "POST", access: "read", most: SHORT, answer: (to, body) => to.lookUp(body) },
  ],
  [
    "key",
    {
      method: "POST",
      access: "admin",
      most: SHORT,
      answer: (to, body, who) => to.changeKey(body, who),
    },
  ],
  [
    "mode",
    {
      method: "POST",
      access: "admin",
      most: SHORT,
      answer: (to, body, who) => to.setMode(body, who),
    },
  ],
  [
    "permits",
    { method: "POST", access: "read", most: SHORT, answer: (to, body) => to.permits(body) },
  ],
  [
    "endpermits",
    {
      method: "POST",
      access: "admin",
      most: SHORT,
      answer: (to, body, who) => to.endPermits(body, who),
    },
  ],
  ["document", { method: "GET", access: "read", most: 0, answer: (to) => to.document() }],
  ["versions", { method: "GET", access: "read", most: 0, answer: (to) => to.versions() }],
  ["diff", { method: "POST", access: "read", most: LONG, answer: (to, body) => to.diff(body) }],
  ["try", { method: "POST", access: "read", most: LONG, answer: (to, body) => to.attempt(body) }],
  [
    "publish",
    {
      method: "POST",
      access: "admin",
      most: LONG,
      answer: (to, body, who) => to.publish(body, who),
    },
  ],
  [
    "rollback",
    {
      method: "POST",
      access: "admin",
      most: SHORT,
      answer: (to, body, who) => to.rollBack(body, who),
    },
  ],
]);
