// Fails a test file that leaves a timer, socket, server or child process behind.
import { afterAll } from "vitest";

/** What is left of a timer does not hang on how busy this machine is. */
const TIMERS_MS = 2000;
/** To close sockets and to end processes takes others a while. */
const GRACE_MS = 30_000;

/** What keeps this process alive, except the pipes to the runner. */
function activeResources(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => !/^(CloseReq|PipeWrap)$/.test(kind));
}

afterAll(async () => {
  // What was just closed needs turns of the event loop to be gone; the runner's own timers pass too.
  const beganMs = performance.now();
  const graceMs = (): number => (activeResources().includes("Timeout") ? TIMERS_MS : GRACE_MS);
  while (activeResources().length > 0 && performance.now() - beganMs < graceMs()) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  // Where the machine stood still meanwhile, timers that are due have had no turn yet.
  if (activeResources().length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const left = activeResources();
  if (left.length > 0) throw new Error(`this test file left behind: ${left.join(", ")}`);
});
