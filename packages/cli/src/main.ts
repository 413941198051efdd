/** The program `sluice`: runs the command line in this process. */
import { run } from "./run.js";

/** From the call on, the first Ctrl-C aborts the signal; the second ends the process as usual. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  process.once("SIGINT", () => {
    controller.abort();
  });
  return controller.signal;
}

/** Keys come one by one, and are not shown, until that is ended. */
function keys(pressed: (key: string) => void): () => void {
  const { stdin } = process;
  const listener = (text: Buffer): void => {
    for (const key of text.toString("utf8")) pressed(key);
  };
  // The terminal must be given back here too.
  const end = (): void => {
    pressed("\u0003");
  };
  process.once("SIGTERM", end);
  if (!stdin.isTTY) return () => void process.off("SIGTERM", end);
  stdin.setRawMode(true);
  stdin.on("data", listener);
  stdin.resume();
  return () => {
    process.off("SIGTERM", end);
    stdin.off("data", listener);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

// A reader such as `head` may close the pipe when it has seen enough: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

async function main(): Promise<void> {
  process.exitCode = await run(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    interruption,
    keys,
  });
}

void main();
