/**
 * One request and its answer, over kept connections. A request is sent once: if its answer is lost, this process cannot
 * know whether it was counted, and to send it again might count it twice.
 */
import {
  Agent,
  type AgentOptions,
  type ClientRequest,
  type IncomingMessage,
  request,
  type RequestOptions,
} from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import type { Closing } from "../core/closing.js";
import { endedBy, removeFrom } from "../core/few.js";
import { monotonicMs, startTimer } from "../core/clock.js";
import { StoreUnavailableError } from "../core/errors.js";
import type { Events } from "../events/events.js";
import type { StoreCounts } from "../stores/store-counts.js";
import { failureOf, refusalOf } from "./failures.js";
import type { RemoteTarget } from "./target.js";
import { STORE_PROTOCOL } from "./wire.js";

export interface RequestsOptions {
  readonly target: RemoteTarget;
  /** The store's. */
  readonly closing: Closing;
  readonly events: Events;
  readonly counts: StoreCounts;
}

/** What may be said of one request. */
export interface PostOptions {
  /** Instead of the target's own. */
  readonly timeoutMs?: number;
  /** false: neither counted as a round trip nor emitted as an event, since it only waits. */
  readonly isTrip?: boolean;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** More than any answer has. */
const LONGEST_ANSWER = 2 ** 26;
/** How much later than the service a request is given up here, so that what it knows by then arrives. */
const GRACE_MS = 500;

export class Requests {
  readonly #options: RequestsOptions;
  readonly #agent: Agent;
  readonly #underWay: (() => void)[];

  constructor(options: RequestsOptions) {
    this.#options = options;
    this.#underWay = endedBy(options.closing);
    const { url, tls, idleTimeoutMs } = options.target;
    const kept: AgentOptions = { keepAlive: true, timeout: idleTimeoutMs };
    this.#agent = url.protocol === "https:" ? new TlsAgent({ ...tls, ...kept }) : new Agent(kept);
  }

  /** Sends a request now; resolves to what its answer says. Rejects with a StoreUnavailableError, or a ClosedError. */
  post(body: string, options: PostOptions = {}): Promise<unknown> {
    const { closing } = this.#options;
    const { isTrip = true } = options;
    return new Promise((resolve, reject: (error: Error) => void) => {
      if (closing.isClosed) {
        reject(closing.error());
        return;
      }
      const beganMs = monotonicMs();
      let isOver = false;
      const end = (error: Error | undefined): boolean => {
        if (isOver) return false;
        isOver = true;
        timer.cancel();
        removeFrom(this.#underWay, close);
        if (isTrip) this.#count(monotonicMs() - beganMs, error);
        return true;
      };
      const fail = (error: Error): void => {
        if (end(error)) reject(error);
        sent?.destroy();
      };
      const close = (): void => fail(closing.error());
      const timeoutMs = options.timeoutMs ?? this.#options.target.requestTimeoutMs;
      const timer = startTimer(timeoutMs + GRACE_MS, () => fail(this.#tooLate(timeoutMs)));
      let sent: ClientRequest | undefined;
      this.#underWay.push(close);
      try {
        sent = this.#send(body, options, fail, (answer) => {
          if (end(undefined)) resolve(answer);
        });
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(
    body: string,
    { signal }: PostOptions,
    fail: (error: Error) => void,
    answered: (answer: unknown) => void,
  ): ClientRequest {
    const { url, socketPath, token, shown } = this.#options.target;
    const options: RequestOptions = {
      agent: this.#agent,
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        ...(token !== undefined && { authorization: `Bearer ${token()}` }),
      },
      ...(signal !== undefined && { signal }),
      ...(socketPath !== undefined && { socketPath }),
    };
    const sent = (url.protocol === "https:" ? tlsRequest : request)(url, options);
    sent.on("error", (error) => fail(failureOf(error, shown)));
    sent.on("response", (response) => {
      readAnswer(response, shown).then(answered, fail);
    });
    sent.end(body);
    return sent;
  }

  #tooLate(timeoutMs: number): Error {
    const { shown } = this.#options.target;
    return new StoreUnavailableError(
      `the service at ${shown} did not answer within ${timeoutMs} ms`,
    );
  }

  #count(durationMs: number, error: Error | undefined): void {
    const { counts, events } = this.#options;
    counts.tripMs[error === undefined ? "ok" : "error"].observe(durationMs);
    events.to.roundTrip?.({ durationMs, error });
  }
}

/** The answer's JSON, of a service of this version that took the request. */
async function readAnswer(response: IncomingMessage, shown: string): Promise<unknown> {
  const text = await textOf(response, shown);
  const { statusCode = 0 } = response;
  const answer = parsed(text);
  if (statusCode !== 200) throw refusalOf(statusCode, answer, shown);
  if (
    typeof answer === "object" &&
    answer !== null &&
    Reflect.get(answer, "v") === STORE_PROTOCOL
  ) {
    return answer;
  }
  throw new StoreUnavailableError(`the server at ${shown} is not a decision service`);
}

function textOf(response: IncomingMessage, shown: string): Promise<string> {
  return new Promise((resolve, reject: (error: Error) => void) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > LONGEST_ANSWER) {
        response.destroy(new Error("the answer is too long"));
      }
    });
    response.on("end", () => resolve(Buffer.concat(chunks).toString()));
    response.on("error", (error) => reject(failureOf(error, shown)));
    response.on("close", () => {
      if (!response.complete) reject(failureOf(new Error("the connection ended"), shown));
    });
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
