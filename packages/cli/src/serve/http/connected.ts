/** Work for a client, as long as that is connected. */
import type { IncomingMessage } from "node:http";

/** With a signal that fires when the client has gone. */
export async function whileConnected<T>(
  { socket }: IncomingMessage,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const gone = new AbortController();
  const abort = (): void => {
    gone.abort();
  };
  socket.once("close", abort);
  try {
    return await work(gone.signal);
  } finally {
    socket.off("close", abort);
  }
}
