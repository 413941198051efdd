import type { Io } from "../../src/cli/terminal.js";

/** A process that a command believes to run in. */
export interface FakeProcess {
  readonly io: Io;
  stdout(): string;
  stderr(): string;
  /** As Ctrl-C does. */
  interrupt(): void;
}

export interface FakeOptions {
  readonly stdin?: string;
  readonly env?: Io["env"];
  /** Whether a person sits in front of stdout and stderr. */
  readonly isTTY?: boolean;
}

export function fakeProcess({
  stdin = "",
  env = {},
  isTTY = false,
}: FakeOptions = {}): FakeProcess {
  const written = { stdout: "", stderr: "" };
  const controller = new AbortController();
  const output = (name: "stdout" | "stderr"): Io["stdout"] => ({
    isTTY,
    columns: 80,
    write(text: string) {
      written[name] += text;
    },
  });
  return {
    io: {
      stdin: (async function* () {
        yield stdin;
      })(),
      stdout: output("stdout"),
      stderr: output("stderr"),
      env,
      interruption: () => controller.signal,
    },
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    interrupt: () => {
      controller.abort();
    },
  };
}
