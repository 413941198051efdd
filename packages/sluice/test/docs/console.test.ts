/** Commands on the pages run as they stand there, and print what the page shows. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packedPages } from "../../../../scripts/pages-to-pack.mjs";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { type Block, blocksOf, namesFile } from "../support/blocks.js";
import { type BuiltProgram, buildProgram } from "../support/built.js";

const pages = packedPages()
  .map((page) => ({ page, blocks: blocksOf(page) }))
  .filter(({ blocks }) => blocks.some(({ language }) => language === "console"));

let built: BuiltProgram;
let bin: string;
beforeAll(async () => {
  built = await buildProgram(["ioredis", "yaml"]);
  bin = join(built.directory, "bin");
  mkdirSync(bin);
  const program = `#!/bin/sh\nexec "${process.execPath}" "${built.cli}" "$@"\n`;
  writeFileSync(join(bin, "sluice"), program, { mode: 0o755 });
  symlinkSync(process.execPath, join(bin, "node"));
});
afterAll(() => {
  built.remove();
});

describe.each(pages)("$page", ({ page, blocks }) => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let directory: string;
  beforeAll(async () => {
    redis = await startRedis();
    directory = mkdtempSync(join(tmpdir(), "sluice-page-"));
    symlinkSync(join(built.directory, "node_modules"), join(directory, "node_modules"), "dir");
  });
  afterAll(async () => {
    await redis.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test("its commands print what it shows", async () => {
    let commands = 0;
    for (const block of blocks) {
      if (namesFile(block)) {
        const text = block.text.replaceAll("redis://127.0.0.1:6379", redis.url);
        writeFileSync(join(directory, block.more), text);
      } else if (block.language === "console") {
        for (const shown of shownIn(block)) {
          commands += 1;
          await check(page, shown, directory, redis.url);
        }
      }
    }
    expect(commands).toBeGreaterThan(0);
  });
});

test("there are such pages", () => {
  expect(pages.map(({ page }) => page)).toContain("docs/rolling-out.md");
});

interface Shown {
  readonly line: number;
  readonly command: string;
  readonly lines: readonly string[];
  readonly code: number;
}

function shownIn({ text, line: fence, more }: Block): readonly Shown[] {
  const code = Number(/^exit (\d)$/.exec(more)?.[1] ?? 0);
  const shown: { line: number; command: string; lines: string[]; code: number }[] = [];
  for (const [i, line] of text.trimEnd().split("\n").entries()) {
    const command = /^\$ (.*)$/.exec(line)?.[1];
    if (command !== undefined) shown.push({ line: fence + 1 + i, command, lines: [], code });
    else shown.at(-1)?.lines.push(line);
  }
  return shown;
}

async function check(page: string, shown: Shown, cwd: string, redisUrl: string): Promise<void> {
  const { line, command, lines, code } = shown;
  const ended = await new Promise<{ code: number; text: string }>((resolve) => {
    const env = {
      ...process.env,
      PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}`,
      SLUICE_REDIS_URL: redisUrl,
      LANG: "C.UTF-8",
      LC_ALL: "C.UTF-8",
    };
    const typed = command.replaceAll("redis://127.0.0.1:6379", redisUrl);
    execFile("sh", ["-c", typed], { cwd, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), text: stdout + stderr });
    });
  });
  const where = `${page}:${line}: ${command}\n${ended.text}`;
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
