// Fails a test file that leaves a timer, socket, server or child process behind.
import { afterAll } from "vitest";

const GRACE_MS = 2000;

/** What keeps this process alive, except the pipes to the runner. */
function activeResources(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => !/^(CloseReq|PipeWrap)$/.test(kind));
}

afterAll(async () => {
  // What was just closed needs turns of the event loop to be gone; the runner's own timers pass too.
  const deadline = performance.now() + GRACE_MS;
  while (activeResources().length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const left = activeResources();
  if (left.length > 0) throw new Error(`this test file left behind: ${left.join(", ")}`);
});
