/** What begins and ends later, on a tracing channel: published by hand, since `tracePromise` would make a promise more. */
import type { TracingChannel } from "node:diagnostics_channel";

/** The spans of one source. A span that begins without subscribers is not published at all. */
export class Spans<Context extends object> {
  readonly #channel: TracingChannel;
  /** Begun and not ended. */
  readonly #open = new Map<number, Context>();

  constructor(channel: TracingChannel) {
    this.#channel = channel;
  }

  readonly isBeginWanted = (): boolean => {
    const { start, asyncEnd, error } = this.#channel;
    return start.hasSubscribers || asyncEnd.hasSubscribers || error.hasSubscribers;
  };

  /** Also if the last subscriber has left: open spans must be forgotten. */
  readonly isEndWanted = (): boolean => this.#open.size > 0;

  begin(span: number, context: Context): void {
    this.#open.set(span, context);
    this.#channel.start.publish(context);
  }

  end(span: number, ending: Partial<Context> & { readonly error?: unknown }): void {
    const context = this.#open.get(span);
    if (context === undefined) return;
    this.#open.delete(span);
    Object.assign(context, ending);
    if (ending.error !== undefined) this.#channel.error.publish(context);
    this.#channel.asyncEnd.publish(context);
  }
}
