/** What a route is: its path, who may ask, and what it does with a call. */
import type { IncomingMessage } from "node:http";
import type { Scope } from "../tokens.js";
import type { Answer } from "./answer.js";

export type Method = "GET" | "HEAD" | "POST";

/** A request that was let in. */
export interface Call {
  readonly request: IncomingMessage;
  /** What follows the question mark; "" if there is none. */
  readonly query: string;
  /** The body: of a route that takes JSON its object, of one that takes bytes these. */
  readonly body: unknown;
}

export interface Route {
  readonly path: string;
  readonly methods: readonly Method[];
  /** One of them is enough; none: everybody may ask. */
  readonly scopes: readonly Scope[];
  /** What it takes for a body. */
  readonly takes: "json" | "bytes" | "nothing";
  /** The longest body, if it is not the setting's. */
  readonly mostBytes?: number;
  readonly answer: (call: Call) => Answer | Promise<Answer>;
}
