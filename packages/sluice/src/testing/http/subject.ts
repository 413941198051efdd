/** What is tested by `httpConformance`: an adapter, in front of one small application that every framework can serve. */
import type { Limit } from "../../http/chargeable.js";
import type { HttpOptions } from "../../http/gate.js";

/** What the suite gives an adapter, as its users do. */
export type SubjectOptions = Limit | HttpOptions<unknown>;

/** A server that runs. */
export interface RunningServer {
  /** Its address, on loopback: "http://127.0.0.1:8080". */
  readonly url: string;
  /** Ends it, and every connection. */
  close(): Promise<void>;
}

/** What a framework keeps an adapter from doing; each with the reason. */
export type Weakness =
  /** Requests that no route matches do not reach it. */
  | "notFound"
  /** It does not learn when a client leaves. */
  | "aborts"
  /** The framework adds a charset to the type of problem bodies. */
  | "charset"
  /** It does not learn what a handler throws. */
  | "errors"
  /** Fields are lost if a handler throws. */
  | "fieldsOnThrow"
  /** A request for HEAD does not reach it. */
  | "head"
  /** It does not see OPTIONS. */
  | "options"
  /** Several requests cannot be sent at once on one connection. */
  | "pipelining";

/**
 * An adapter in front of this application:
 *
 * | path | answer |
 * |---|---|
 * | `/` | 200, text/plain, `ok` |
 * | `/unauthorized` | 401, by the handler |
 * | `/teapot` | 418, by the framework's own error for it |
 * | `/boom` | the handler throws an Error: 500 by the framework |
 * | `/slow` | 200 after 300 ms, `ok` |
 * | `/stream` | 200 at once, `first` in its body, and `last` 300 ms later |
 * | `/cors` | 200, with `Access-Control-Allow-Origin: *` set before the adapter runs |
 * | `/missing` | no route: 404 by the framework |
 */
export interface HttpSubject {
  /** What is tested. */
  readonly name: string;
  /** Serves the application over HTTP/1.1, on a free port of 127.0.0.1; `options` as a user would pass them. */
  start(options: SubjectOptions): Promise<RunningServer>;
  /** The same over HTTP/2 without TLS, if the framework can. */
  startHttp2?(options: SubjectOptions): Promise<RunningServer>;
  /** What it cannot do, each with a reason. */
  readonly weaknesses?: Readonly<Partial<Record<Weakness, string>>> | undefined;
}
