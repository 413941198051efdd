/** An answer whose permit is released when its body has ended, in whatever way. */

/** How a body came to its end; "dropped" is one that was garbage-collected unread. */
export type BodyEnd = "read" | "failed" | "cancelled" | "dropped";

/** The last resort for callers who drop an answer without reading or cancelling its body. */
const dropped =
  typeof FinalizationRegistry === "function"
    ? new FinalizationRegistry<() => void>((giveUp) => giveUp())
    : undefined;

/**
 * The same answer; `release` is called when its body has been read to the end, has failed, has been cancelled or is
 * garbage-collected, or at once if it has none. It may be called again.
 *
 * @throws TypeError, RangeError if the body is being read already, or no Response can have its status
 */
export function releaseWithBody(
  response: Response,
  release: (how: BodyEnd, error?: unknown) => void,
): Response {
  const { body } = response;
  if (body === null) {
    release("read");
    return response;
  }
  const reader = body.getReader();
  let end: BodyEnd = "read";
  reader.closed.then(
    () => release(end),
    (error: unknown) => release(end === "read" ? "failed" : end, error),
  );
  // The registry must not hold on to the stream it waits for: this closure knows the source alone.
  const giveUp = giveUpOn(reader, release);
  try {
    const watched = watch(reader, () => {
      end = "cancelled";
    });
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
function watch(reader: Reader, cancelled: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => {
        cancelled();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

function giveUpOn(reader: Reader, release: (how: BodyEnd) => void): () => void {
  return () => {
    reader.cancel().catch(() => {});
    release("dropped");
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
    // Its own, and not what stands for `Response` by now: frameworks put classes of theirs in place, which clone no others.
    const clone = copy.clone.bind(copy);
    return Object.defineProperties(copy, {
      ...origin,
      clone: { value: () => withOrigin(clone()) },
    });
  };
  return withOrigin(new Response(body, { status, statusText, headers }));
}

/**
 * Cancels the body of a discarded answer, without waiting for it: if the caller keeps a clone, it ends when that is
 * cancelled too, which may be never. The body may be no web stream, or be being read already.
 */
export function discardBody({ body }: Response): void {
  try {
    body?.cancel().catch(() => {});
  } catch {
    // Then its maker has to end it.
  }
}
