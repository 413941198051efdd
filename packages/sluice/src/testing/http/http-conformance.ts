/**
 * The conformance suite of HTTP adapters: what a client sees on the wire, and what limiters count, must be the same
 * whatever the framework. It knows no test runner: each case is a name and a function that throws.
 */
import { byDefault, checkFunction, optionReader } from "../../core/options.js";
import { InvalidOptionError } from "../../core/errors.js";
import { hasField, withoutText } from "../../core/shown.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import type { Store } from "../../stores/store.js";
import type { ConformanceCase } from "../conformance.js";
import { answerCases } from "./cases-answers.js";
import { chargeCases } from "./cases-charges.js";
import { endingCases } from "./cases-endings.js";
import { failureCases } from "./cases-failures.js";
import { hostileCases } from "./cases-hostile.js";
import { wireCases } from "./cases-wire.js";
import type { HttpCase } from "./http-case.js";
import { Stage } from "./stage.js";
import type { HttpSubject, Weakness } from "./subject.js";
import { proofs } from "./weaknesses.js";

/** Options of `httpConformance`. */
export interface HttpConformanceOptions {
  /** The adapter, in front of the application that is described there. */
  readonly subject: HttpSubject;
  /** The store that limits are kept in; called once a case, and closed after it. Default: a MemoryStore. */
  readonly createStore?: (() => Store | Promise<Store>) | undefined;
}

const CASES: readonly HttpCase[] = [
  ...answerCases,
  ...chargeCases,
  ...endingCases,
  ...failureCases,
  ...wireCases,
  ...hostileCases,
];

const OPTIONS = optionReader<HttpConformanceOptions>()({
  subject: checkSubject,
  createStore: byDefault(() => new MemoryStore(), checkFunction),
});

/**
 * The cases that an adapter must pass, over sockets of loopback. What it declares not to do must be so: its case then
 * shows that, and fails once the framework can do it after all.
 *
 * @throws InvalidOptionError
 * @example
 * import { createServer } from "node:http";
 * import { rateLimit } from "sluice/node";
 * import { type HttpSubject, httpConformance } from "sluice/testing";
 * const subject: HttpSubject = {
 *   name: "mine",
 *   start: async (options) => {
 *     const limited = rateLimit(options);
 *     const server = createServer(limited((_request, response) => response.end("ok")));
 *     await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
 *     const { port } = server.address() as { port: number };
 *     return {
 *       url: `http://127.0.0.1:${port}`,
 *       close: async () => {
 *         server.closeAllConnections();
 *         server.close();
 *       },
 *     };
 *   },
 * };
 * const [first] = httpConformance({ subject });
 * await first?.run(); // in a test runner: for each of them, test(name, run)
 * console.log(first?.name); // lets a request pass and states its limit, byte for byte
 */
export function httpConformance(options: HttpConformanceOptions): readonly ConformanceCase[] {
  const { subject, createStore } = OPTIONS.read(options);
  const { weaknesses = {} } = subject;
  const hasHttp2 = hasField(subject, "startHttp2");
  return CASES.filter(({ protocol }) => protocol === undefined || hasHttp2).map(
    ({ name, needs, run }) => {
      const reason = needs === undefined ? undefined : weaknesses[needs];
      const isWeak = needs !== undefined && reason !== undefined;
      return {
        name: isWeak ? `${name}: declares ${needs}: ${reason}` : name,
        run: () => played(new Stage(subject, createStore), isWeak ? proofs[needs] : run),
      };
    },
  );
}

async function played(stage: Stage, play: (stage: Stage) => Promise<void>): Promise<void> {
  try {
    await play(stage);
  } finally {
    await stage.end();
  }
}

function checkSubject(option: string, given: unknown): HttpSubject {
  if (!hasField(given, "start")) {
    throw new InvalidOptionError(option, withoutText(given), "an object with name and start()");
  }
  const subject = given as HttpSubject;
  const known = Object.keys(proofs) as readonly Weakness[];
  for (const [weakness, reason] of Object.entries(subject.weaknesses ?? {})) {
    const named = `${option}.weaknesses.${weakness}`;
    if (!known.includes(weakness as Weakness)) {
      throw new InvalidOptionError(named, reason, `one of ${known.join(", ")}`);
    }
    if (typeof reason !== "string" || reason === "") {
      throw new InvalidOptionError(named, reason, "the reason, in words");
    }
  }
  return subject;
}
