/** Looks at something again and again: every so often, and at once when a hint says that it is worth it. */
import { startTimer, type Timer } from "./clock.js";

export class RepeatedLook {
  readonly #everyMs: number;
  readonly #lookOnce: () => Promise<void>;
  #looking: Promise<void> | undefined;
  #isHinted = false;
  #isClosed = false;
  #timer: Timer | undefined;

  /** `lookOnce` never rejects. */
  constructor(everyMs: number, lookOnce: () => Promise<void>) {
    this.#everyMs = everyMs;
    this.#lookOnce = lookOnce;
  }

  /** Looks now, and from then on every so often; resolves when a look is done that began after the call. Never rejects. */
  look(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    // What was hinted at may have come after the look under way was sent.
    this.#isHinted = true;
    this.#looking ??= this.#lookUntilQuiet();
    return this.#looking;
  }

  /** Looks when it is time. */
  arm(): void {
    if (this.#isClosed) return;
    this.#timer = startTimer(this.#everyMs, () => void this.look());
    this.#timer.unref();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #lookUntilQuiet(): Promise<void> {
    this.#timer?.cancel();
    while (this.#isHinted && !this.#isClosed) {
      this.#isHinted = false;
      await this.#lookOnce();
    }
    this.#looking = undefined;
    this.arm();
  }
}
