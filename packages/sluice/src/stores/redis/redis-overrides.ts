/** Overrides in Redis: those of a limiter are one hash. Each write is one call of one script, and so is each read. */
import type { Clock } from "../../core/clock.js";
import type {
  OverrideStore,
  OverridesRead,
  OverrideWatch,
  OverrideWrite,
  StoredOverride,
} from "../override-store.js";
import type { RunScript } from "./clients/client.js";
import type { Hints } from "./hints.js";
import { replyNumber, runOnKey } from "./one-key-script.js";
import { overrideScript } from "./scripts.js";

const FOR_GOOD = "-";
/** The prefix of the note of a removed override. */
const REMOVED = "-";

export class RedisOverrides implements OverrideStore {
  readonly #run: RunScript;
  readonly #hints: Hints;
  readonly #clock: Clock | undefined;

  /** `clock` decides instead of the server's. */
  constructor(run: RunScript, hints: Hints, clock: Clock | undefined) {
    this.#run = run;
    this.#hints = hints;
    this.#clock = clock;
  }

  async write(limiter: string, what: OverrideWrite): Promise<boolean> {
    const { id, text, untilMs, most, note = "" } = what;
    const stored = text === undefined ? "" : `${untilMs ?? FOR_GOOD} ${text}`;
    const channel = this.#channelOf(limiter);
    const [written] = await this.#call(limiter, "write", String(most), id, stored, note, channel);
    return replyNumber(written) === 1;
  }

  async read(
    limiter: string,
    known: string,
    ended: readonly string[] = [],
  ): Promise<OverridesRead> {
    const reply = await this.#call(limiter, "read", known, ...ended);
    const nowMs = replyNumber(reply[1]);
    const version = String(reply[0]);
    if (version === known) return { version, nowMs, texts: undefined };
    const texts = new Map<string, StoredOverride>();
    for (let i = 2; i + 1 < reply.length; i += 2) {
      texts.set(String(reply[i]), storedIn(String(reply[i + 1])));
    }
    return { version, nowMs, texts };
  }

  watch(limiter: string, hint: () => void): OverrideWatch {
    return this.#hints.watch(this.#channelOf(limiter), hint);
  }

  #channelOf(limiter: string): string {
    return this.#hints.channelOf(keyOf(limiter), `${limiter}:~overrides`);
  }

  #call(limiter: string, ...args: readonly string[]): Promise<readonly unknown[]> {
    const now = this.#clock === undefined ? "" : String(this.#clock.nowUs());
    return runOnKey(this.#run, overrideScript(), keyOf(limiter), [now, ...args]);
  }
}

function storedIn(value: string): StoredOverride {
  const end = value.indexOf(" ") + 1;
  const untilMs = value.startsWith(FOR_GOOD) ? undefined : Number.parseInt(value, 10);
  const isRemoved = value.startsWith(REMOVED, end);
  return { text: value.slice(isRemoved ? end + 1 : end), untilMs, isRemoved };
}

/** No policy has a name that begins like this. */
function keyOf(limiter: string): string {
  return `${limiter}:~overrides:{${limiter}}`;
}
