import type { Io } from "../src/terminal/terminal.js";

/** A process that a command believes to run in. */
export interface FakeProcess {
  readonly io: Io;
  stdout(): string;
  stderr(): string;
  /** As Ctrl-C does. */
  interrupt(): void;
  /** As somebody who presses a key, where a command reads keys. */
  press(key: string): void;
  /** Whether a command has the keyboard. */
  hasKeyboard(): boolean;
}

export interface FakeOptions {
  readonly stdin?: string;
  readonly env?: Io["env"];
  /** Whether a person sits in front of stdout and stderr. */
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export function fakeProcess({
  stdin = "",
  env = {},
  isTTY = false,
  columns = 80,
  rows = 24,
}: FakeOptions = {}): FakeProcess {
  const written = { stdout: "", stderr: "" };
  const listeners = new Set<(key: string) => void>();
  const controller = new AbortController();
  const output = (name: "stdout" | "stderr"): Io["stdout"] => ({
    isTTY,
    columns,
    rows,
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
      keys: (pressed) => {
        listeners.add(pressed);
        return () => void listeners.delete(pressed);
      },
    },
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    interrupt: () => {
      controller.abort();
    },
    press: (key) => {
      for (const pressed of listeners) pressed(key);
    },
    hasKeyboard: () => listeners.size > 0,
  };
}
