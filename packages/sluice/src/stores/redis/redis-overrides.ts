/** Overrides in Redis: those of a limiter are one hash. Each write is one call of one script, and so is each read. */
import type { Clock } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import type {
  OverrideStore,
  OverridesRead,
  OverrideWrite,
  StoredOverride,
} from "../override-store.js";
import type { RunScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { overrideScript } from "./scripts.js";

const FOR_GOOD = "-";

export class RedisOverrides implements OverrideStore {
  readonly #run: RunScript;
  readonly #clock: Clock | undefined;

  /** `clock` decides instead of the server's. */
  constructor(run: RunScript, clock: Clock | undefined) {
    this.#run = run;
    this.#clock = clock;
  }

  async write(limiter: string, what: OverrideWrite): Promise<boolean> {
    const { id, text, untilMs, most } = what;
    const stored = text === undefined ? "" : `${untilMs ?? FOR_GOOD} ${text}`;
    const reply = await this.#call(limiter, "write", String(most), id, stored);
    return Number(reply) === 1;
  }

  async read(limiter: string, known: string): Promise<OverridesRead> {
    const reply = await this.#call(limiter, "read", known);
    if (!Array.isArray(reply)) throw unreadable();
    const nowMs = Number(reply[1]);
    if (!Number.isFinite(nowMs)) throw unreadable();
    const version = String(reply[0]);
    if (version === known) return { version, nowMs, texts: undefined };
    const texts = new Map<string, StoredOverride>();
    for (let i = 2; i + 1 < reply.length; i += 2) {
      texts.set(String(reply[i]), storedIn(String(reply[i + 1])));
    }
    return { version, nowMs, texts };
  }

  async #call(limiter: string, ...args: readonly string[]): Promise<unknown> {
    const { sha, source } = overrideScript();
    const now = this.#clock === undefined ? "" : String(this.#clock.nowUs());
    try {
      return await this.#run(sha, source, [keyOf(limiter)], [now, ...args]);
    } catch (error) {
      throw asScriptFailure(error);
    }
  }
}

function storedIn(value: string): StoredOverride {
  const end = value.indexOf(" ");
  const untilMs = Number(value.slice(0, end));
  return { text: value.slice(end + 1), untilMs: Number.isNaN(untilMs) ? undefined : untilMs };
}

/** No policy has a name that begins like this. */
function keyOf(limiter: string): string {
  return `${limiter}:~overrides:{${limiter}}`;
}

function unreadable(): StoreUnavailableError {
  return new StoreUnavailableError("the reply of the script of overrides is not as it should be");
}
