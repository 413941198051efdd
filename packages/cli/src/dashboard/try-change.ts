/** Plays an edited document on the attempts that this process remembers. */
import { LogError } from "sluice/audit";
import { parsePolicies } from "sluice/policies";
import { limitsOfDocument, readLoggedAttempts, simulate } from "sluice/simulate";
import { Refusal } from "./answers.js";
import type { RememberedAttempts } from "./remembered.js";
import type { Tried } from "./wire.js";

const MINUTE_US = 60e6;
const RETRIES = "callers who retry behave differently: the attempts are those that were made";

export class ChangeTrials {
  readonly #remembered: RememberedAttempts;
  readonly #nowMs: () => number;
  /** One after another: each takes the process's time. */
  #running: Promise<unknown> = Promise.resolve();

  constructor(remembered: RememberedAttempts, nowMs: () => number) {
    this.#remembered = remembered;
    this.#nowMs = nowMs;
  }

  /** @throws Refusal, InvalidPoliciesError */
  async of(text: string, minutes: number): Promise<Tried> {
    const { document, warnings } = parsePolicies(text, { nowUs: this.#nowMs() * 1000 });
    const { recent } = this.#remembered;
    if (recent === undefined) {
      throw new Refusal(
        409,
        "Nothing is remembered",
        "attempts are remembered from when the page is opened, and not where `attempts` is 0",
      );
    }
    const play = async (): Promise<Tried> => {
      const sinceUs = this.#nowMs() * 1000 - minutes * MINUTE_US;
      const log = await readLoggedAttempts([recent.source(sinceUs)]);
      const limits = limitsOfDocument(document, log);
      const { all, rules, fromUs, toUs, unlimited, blocked } = await simulate(log, { limits });
      const leftOut = [
        [unlimited, "that no rule applies to"],
        [blocked, "on blocked keys, which are not played: a block is no limit"],
      ] as const;
      return {
        attempts: all.attempts,
        fromMs: Math.floor(fromUs / 1000),
        toMs: Math.ceil(toUs / 1000),
        rules: rules.map(({ rule, attempts, keysDeniedAfter, ...counts }) => {
          const { deniedBefore, deniedAfter, newlyDenied, newlyAllowed } = counts;
          return {
            rule,
            asked: attempts,
            deniedBefore,
            deniedAfter,
            newlyDenied,
            newlyAllowed,
            keysTouched: keysDeniedAfter,
          };
        }),
        warnings: warnings.map(({ message }) => message),
        notes: [
          ...limits.notes,
          ...leftOut.flatMap(([count, what]) =>
            count > 0 ? [`${count} attempt${count === 1 ? "" : "s"} ${what}`] : [],
          ),
          RETRIES,
        ],
      };
    };
    const played = this.#running.then(play);
    this.#running = played.catch(() => {});
    try {
      return await played;
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      throw new Refusal(
        409,
        "There is nothing to play",
        `this process had no attempts in the last ${minutes === 1 ? "minute" : `${minutes} minutes`} that could be played`,
      );
    }
  }
}
