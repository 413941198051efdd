/** The commands of the page on rolling out run as they stand there, and print what it shows. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { type BuiltProgram, buildProgram } from "../support/built.js";

const PAGE = "docs/rolling-out.md";
const BLOCK = /^```(?<kind>yaml|console)(?: (?<more>[^\n]+))?\n(?<text>.*?)^```$/gms;

let built: BuiltProgram;
let redis: Awaited<ReturnType<typeof startRedis>>;
let directory: string;
let path: string;
beforeAll(async () => {
  [built, redis] = await Promise.all([buildProgram(["ioredis", "yaml"]), startRedis()]);
  directory = mkdtempSync(join(tmpdir(), "sluice-page-"));
  const bin = join(built.directory, "bin");
  mkdirSync(bin);
  const program = `#!/bin/sh\nexec "${process.execPath}" "${built.cli}" "$@"\n`;
  writeFileSync(join(bin, "sluice"), program, { mode: 0o755 });
  path = `${bin}${delimiter}${process.env["PATH"] ?? ""}`;
});
afterAll(async () => {
  await redis.stop();
  built.remove();
  rmSync(directory, { recursive: true, force: true });
});

interface Shown {
  readonly line: number;
  readonly command: string;
  readonly lines: readonly string[];
  readonly code: number;
}

test("the page's commands print what it shows", async () => {
  const page = readFileSync(PAGE, "utf8");
  let commands = 0;
  for (const { index, groups } of page.matchAll(BLOCK)) {
    const { kind, more = "", text = "" } = groups ?? {};
    const line = page.slice(0, index).split("\n").length + 1;
    if (kind === "yaml") writeFileSync(join(directory, more), text);
    else {
      for (const shown of shownIn(text, line, more)) {
        commands += 1;
        await check(shown);
      }
    }
  }
  expect(commands).toBeGreaterThan(10);
});

function shownIn(text: string, firstLine: number, more: string): readonly Shown[] {
  const code = Number(/^exit (\d)$/.exec(more)?.[1] ?? 0);
  const shown: { line: number; command: string; lines: string[]; code: number }[] = [];
  for (const [i, line] of text.trimEnd().split("\n").entries()) {
    const command = /^\$ (.*)$/.exec(line)?.[1];
    if (command !== undefined) shown.push({ line: firstLine + i, command, lines: [], code });
    else shown.at(-1)?.lines.push(line);
  }
  return shown;
}

async function check({ line, command, lines, code }: Shown): Promise<void> {
  const ended = await new Promise<{ code: number; text: string }>((resolve) => {
    const env = {
      ...process.env,
      PATH: path,
      SLUICE_REDIS_URL: redis.url,
      LANG: "C.UTF-8",
      LC_ALL: "C.UTF-8",
    };
    execFile("sh", ["-c", command], { cwd: directory, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), text: stdout + stderr });
    });
  });
  const where = `${PAGE}:${line}: ${command}\n${ended.text}`;
  expect(ended.code, where).toBe(code);
  expect(plain(ended.text), where).toMatch(pattern(lines));
}

/** Each line as it is shown; `…` stands for any lines. Times and ports are this run's own. */
function pattern(lines: readonly string[]): RegExp {
  const parts = lines.map((line) =>
    line === "…" ? "(?:.*\\n)*?" : `${plain(line).replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")} *\\n`,
  );
  return new RegExp(`^${parts.join("")}$`);
}

function plain(text: string): string {
  return text
    .replaceAll(/redis:\/\/127\.0\.0\.1:\d+/g, "REDIS")
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "TIME");
}
