/** Reports in Redis: a minute is one hash. Each write is one call of one script, and so is each read. */
import type { Clock } from "../../core/clock.js";
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
import { replyNumber, runOnKey } from "./one-key-script.js";
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
    return replyNumber(nowMs);
  }

  async write(to: ReportMinute, what: ReportWrite): Promise<ReportWritten> {
    const { process, turn, line, fields } = what;
    const expiryMs = (to.minute + 1) * MINUTE_MS + REPORT_KEPT_MS;
    const head = [String(expiryMs), String(turn), process, line];
    const [wasKnown, nowMs] = await this.#call(to, "write", ...head, ...[...fields].flat());
    return { nowMs: replyNumber(nowMs), wasKnown: replyNumber(wasKnown) === 1 };
  }

  async read(from: ReportMinute): Promise<ReportRead> {
    const reply = await this.#call(from, "read");
    const nowMs = replyNumber(reply.at(-1));
    const fields = new Map<string, string>();
    for (let i = 0; i + 2 < reply.length; i += 2) {
      fields.set(String(reply[i]), String(reply[i + 1]));
    }
    return { nowMs, fields };
  }

  #call(at: ReportMinute, verb: string, ...args: string[]): Promise<readonly unknown[]> {
    const now = this.#clock === undefined ? "" : String(this.#clock.nowUs());
    return runOnKey(this.#run, reportScript(), keyOfMinute(at), [now, verb, ...args]);
  }
}

/** All minutes of a name are in one slot. No policy has a name that begins like this. */
function keyOfMinute({ name, minute }: ReportMinute): string {
  return `${name}:~report:{${name}}:${minute}`;
}
