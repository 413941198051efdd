/** An answer whose place is given back when its body is done with, however that comes about. */
import type { Release } from "./gate.js";

/** The last resort for callers who drop an answer without reading or cancelling its body. */
const dropped =
  typeof FinalizationRegistry === "function"
    ? new FinalizationRegistry<() => void>((giveUp) => giveUp())
    : undefined;

/**
 * The same answer; `release` is called when its body has been read to the end, has failed, has been
 * cancelled or is gone with the garbage, or at once where it has none.
 *
 * @throws TypeError, RangeError where somebody reads the body already, or no Response can have its status
 */
export function releaseWithBody(response: Response, release: Release): Response {
  const { body } = response;
  if (body === null) {
    release();
    return response;
  }
  const reader = body.getReader();
  reader.closed.then(release, release);
  // The registry must not hold on to the stream it waits for: this closure knows the source alone.
  const giveUp = giveUpOn(reader, release);
  try {
    const watched = watch(reader);
    const copy = sameAs(response, watched);
    dropped?.register(watched, giveUp);
    return copy;
  } catch (error) {
    giveUp();
    throw error;
  }
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** Reads nothing ahead. */
function watch(reader: Reader): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

function giveUpOn(reader: Reader, release: Release): () => void {
  return () => {
    reader.cancel().catch(() => {});
    release();
  };
}

/** A new Response has no address, nor has a clone of one: those of the answer are kept. */
function sameAs(response: Response, body: ReadableStream<Uint8Array>): Response {
  const { status, statusText, headers, url, redirected, type } = response;
  const origin = {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
  };
  const withOrigin = (copy: Response): Response => {
    const clone = (): Response => withOrigin(Response.prototype.clone.call(copy));
    return Object.defineProperties(copy, { ...origin, clone: { value: clone } });
  };
  return withOrigin(new Response(body, { status, statusText, headers }));
}

/**
 * Cancels the body of an answer that nobody gets, without waiting for it: if somebody keeps a clone, it ends when that
 * is cancelled too, which may be never. The body may be no web stream, or somebody may read it already.
 */
export function discardBody({ body }: Response): void {
  try {
    body?.cancel().catch(() => {});
  } catch {
    // Then whoever made it has to end it.
  }
}
