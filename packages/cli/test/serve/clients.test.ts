/** The clients of docs/service-clients.md, taken from the page, against the service: each where its language is installed. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { startService, temporaryFolder } from "../support/service.js";

const page = readFileSync(
  fileURLToPath(new URL("../../../../docs/service-clients.md", import.meta.url)),
  "utf8",
);

const TOKEN = "decide-token-of-tests";
const document = {
  rules: [
    { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit: 3, period: "1h" } },
  ],
} as const;

/** The page's code in a language. */
function codeIn(language: string): string {
  const [, code] = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(page) ?? [];
  if (code === undefined) throw new Error(`the page has no code in ${language}`);
  return code;
}

/** What a program prints, line by line, as JSON. */
async function linesOf(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string },
): Promise<unknown[]> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(child, "close");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

const isInstalled = (command: string, ...args: readonly string[]): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** Five times the same key, one that costs more, a rule that there is not, and where nobody listens. */
const EXPECTED = [
  [true, true],
  [true, true],
  [true, true],
  [false, false],
  [false, false],
  [false, false],
  ["error", "404"],
  [true, true],
];

const PYTHON = `
import sys
from limits import Limits

here = Limits("127.0.0.1", int(sys.argv[1]), sys.argv[2], timeout=60)
for cost in [1, 1, 1, 1, 1, 2]:
    allowed, wait = here.allows("api", "ana", cost)
    print(json.dumps([allowed, wait == 0]))
try:
    here.allows("none", "ana")
except RuntimeError as error:
    print(json.dumps(["error", str(error)[:3]]))
allowed, wait = Limits("127.0.0.1", 1, sys.argv[2]).allows("api", "ana")
print(json.dumps([allowed, wait == 0]))
`;

const GO = `package main

import (
	"encoding/json"
	"fmt"
	"os"

	"example/limits"
)

func say(values ...any) {
	line, _ := json.Marshal(values)
	fmt.Println(string(line))
}

func main() {
	here := limits.Limits{URL: "http://127.0.0.1:" + os.Args[1], Token: os.Args[2]}
	for _, cost := range []float64{1, 1, 1, 1, 1, 2} {
		allowed, wait, err := here.Allows("api", "ana", cost)
		if err != nil {
			panic(err)
		}
		say(allowed, wait == 0)
	}
	_, _, err := here.Allows("none", "ana", 1)
	say("error", err.Error()[:3])
	allowed, wait, _ := limits.Limits{URL: "http://127.0.0.1:1"}.Allows("api", "ana", 1)
	say(allowed, wait == 0)
}
`;

async function portOfService(): Promise<string> {
  const env = { SLUICE_TOKENS: `api decide ${TOKEN}` };
  const { addresses } = await startService(document, {}, env);
  return new URL(addresses[0] as string).port;
}

describe("the client of the page", () => {
  test("in Python decides as the service does", async ({ skip }) => {
    if (!isInstalled("python3", "--version")) skip("python3 is not installed");
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "limits.py"), codeIn("python"));
    writeFileSync(join(cwd, "main.py"), `import json${PYTHON}`);
    const port = await portOfService();
    expect(await linesOf("python3", ["main.py", port, TOKEN], { cwd })).toEqual(EXPECTED);
  });

  test("in Python counts after an idle time, knows what never fits, and denies where the service does", async ({
    skip,
  }) => {
    if (!isInstalled("python3", "--version")) skip("python3 is not installed");
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "limits.py"), codeIn("python"));
    writeFileSync(
      join(cwd, "main.py"),
      `import json, sys, time
from limits import Limits

here = Limits("127.0.0.1", int(sys.argv[1]), sys.argv[2], timeout=60)
print(json.dumps(here.allows("api", "ben", 3)))
time.sleep(1)
here._used -= 4  # As if it had been longer.
print(json.dumps(here.allows("api", "ben")[0]))
print(json.dumps(Limits("127.0.0.1", int(sys.argv[1]), sys.argv[2], timeout=60).allows("api", "ben", 4)))
print(json.dumps(Limits("127.0.0.1", int(sys.argv[3]), sys.argv[2], timeout=60).allows("api", "ben")[0]))
`,
    );
    const env = { SLUICE_TOKENS: `api decide ${TOKEN}` };
    const idle = await startService(document, { idleTimeout: "500ms" }, env);
    const closed = { ...document, defaults: { onStoreFailure: "closed" } } as const;
    const away = await startService(closed, { redis: "redis://127.0.0.1:1" }, env);
    const ports = [idle, away].map(({ addresses }) => new URL(addresses[0] as string).port);
    const args = ["main.py", ports[0] as string, TOKEN, ports[1] as string];
    expect(await linesOf("python3", args, { cwd })).toEqual([
      [true, 0],
      false,
      [false, null],
      false,
    ]);
  });

  test("in Go decides as the service does", async ({ skip }) => {
    if (!isInstalled("go", "version")) skip("go is not installed");
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, "limits"));
    writeFileSync(join(cwd, "go.mod"), "module example\n\ngo 1.18\n");
    writeFileSync(join(cwd, "limits/limits.go"), codeIn("go"));
    writeFileSync(join(cwd, "main.go"), GO);
    const port = await portOfService();
    expect(await linesOf("go", ["run", ".", port, TOKEN], { cwd })).toEqual(EXPECTED);
  });
});
