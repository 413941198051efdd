/** Reports in Redis: a minute is one hash. Each write is one call of one script, and so is each read. */
import type { Clock } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import {
  MINUTE_MS,
  REPORT_KEPT_MS,
  type ReportMinute,
  type ReportRead,
  type ReportStore,
  type ReportWrite,
  type ReportWritten,
} from "../report-store.js";
import type { RunScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { reportScript } from "./scripts.js";

export class RedisReports implements ReportStore {
  readonly #run: RunScript;
  readonly #clock: Clock | undefined;

  /** `clock` decides instead of the server's. */
  constructor(run: RunScript, clock: Clock | undefined) {
    this.#run = run;
    this.#clock = clock;
  }

  async nowMs(name: string): Promise<number> {
    // Redis asks for permission on every key that a script names, also on one that it does not touch.
    const [nowMs] = await this.#call({ name, minute: 0 }, "now");
    return numberIn(nowMs);
  }

  async write(to: ReportMinute, what: ReportWrite): Promise<ReportWritten> {
    const { process, turn, line, fields } = what;
    const expiryMs = (to.minute + 1) * MINUTE_MS + REPORT_KEPT_MS;
    const head = [String(expiryMs), String(turn), process, line];
    const [wasKnown, nowMs] = await this.#call(to, "write", ...head, ...[...fields].flat());
    return { nowMs: numberIn(nowMs), wasKnown: numberIn(wasKnown) === 1 };
  }

  async read(from: ReportMinute): Promise<ReportRead> {
    const reply = await this.#call(from, "read");
    const nowMs = numberIn(reply.at(-1));
    const fields = new Map<string, string>();
    for (let i = 0; i + 2 < reply.length; i += 2) {
      fields.set(String(reply[i]), String(reply[i + 1]));
    }
    return { nowMs, fields };
  }

  async #call(at: ReportMinute, verb: string, ...args: string[]): Promise<readonly unknown[]> {
    const { sha, source } = reportScript();
    const now = this.#clock === undefined ? "" : String(this.#clock.nowUs());
    let reply: unknown;
    try {
      reply = await this.#run(sha, source, [keyOfMinute(at)], [now, verb, ...args]);
    } catch (error) {
      throw asScriptFailure(error);
    }
    if (Array.isArray(reply)) return reply as readonly unknown[];
    throw new StoreUnavailableError("the report script's reply is no array");
  }
}

/** All minutes of a name are in one slot. No policy has a name that begins like this. */
function keyOfMinute({ name, minute }: ReportMinute): string {
  return `${name}:~report:{${name}}:${minute}`;
}

/** Some clients return integers as text, or as bigint. */
function numberIn(reply: unknown): number {
  const value = Number(reply);
  if (Number.isFinite(value)) return value;
  throw new StoreUnavailableError("the report script's reply is no number");
}
