/** Code of the documentation, run as it stands: what a page shows must work and print what it says. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { format, promisify } from "node:util";
import { expect } from "vitest";
import { librarySources } from "../../../../scripts/library-sources.mjs";
import { startRedis } from "../../../../scripts/redis-server.mjs";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** The source of each entry point of the package, by the name under which it is imported. */
const SOURCES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(librarySources()).map(([name, source]) => [name, join(root, source)]),
);

/** A program of the documentation. */
export interface Snippet {
  /** File and line, below the repository's root. */
  readonly name: string;
  readonly code: string;
}

const FENCE = /^```ts(?<more> continued)?\n(?<code>.*?)^```$/gms;

/**
 * The ```ts blocks of a Markdown file. One marked `continued` goes on where the block before it
 * ended, and becomes a program together with it.
 */
export function markdownSnippets(file: string): readonly Snippet[] {
  const text = readFileSync(join(root, file), "utf8");
  const snippets: Snippet[] = [];
  for (const { index, groups } of text.matchAll(FENCE)) {
    const code = groups?.["code"] ?? "";
    const line = text.slice(0, index).split("\n").length + 1;
    const before = snippets.at(-1);
    const isContinued = groups?.["more"] !== undefined && before !== undefined;
    snippets.push({ name: `${file}:${line}`, code: isContinued ? before.code + code : code });
  }
  return snippets;
}

const EXAMPLE = /^ *\* @example\n(?<lines>.*?)^ *(?:\*\/|\* @)/gms;

/** The `@example` blocks of a source file's docstrings. */
export function docstringSnippets(file: string): readonly Snippet[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(EXAMPLE)].map(({ index, groups }) => ({
    name: `${file}:${text.slice(0, index).split("\n").length + 1}`,
    code: (groups?.["lines"] ?? "").replaceAll(/^ *\* ?/gm, ""),
  }));
}

const PRINTED = /console\.log\(.*\)[^"'`]*\/\/ (?<text>.*)$/;
const SERVER_URL = /redis:\/\/(?:localhost|127\.0\.0\.1):6379/g;

/** A deadline that a busy machine keeps, where the snippet names none of its own further on. */
const PATIENT = '$& timeout: "30s",';

let runs = 0;

/**
 * Runs a snippet on the sources, with an empty Redis of its own where it names one. Where a line
 * ends with `console.log(...); // text`, that must be what it prints, each time.
 */
export async function runSnippet(snippet: Snippet): Promise<void> {
  if (snippet.code.search(SERVER_URL) < 0) return runOn(snippet, "");
  const redis = await startRedis();
  try {
    await runOn(snippet, redis.url);
  } finally {
    await redis.stop();
  }
}

async function runOn({ name, code }: Snippet, redisUrl: string): Promise<void> {
  const printed = new Map<number, string[]>();
  const scope = globalThis as { printAt?: (line: number, ...values: unknown[]) => void };
  scope.printAt = (line, ...values) => {
    printed.set(line, [...(printed.get(line) ?? []), format(...values)]);
  };
  await withDirectory(async (directory) => {
    runs += 1;
    const file = join(directory, `snippet-${runs}.ts`);
    const program = code
      .replaceAll('"/tmp/', `"${directory}/`)
      .split("\n")
      .map((text, line) => text.replaceAll("console.log(", `printAt(${line}, `))
      .join("\n")
      .replaceAll(/ from "(sluice[\w/]*)"/g, (_, module: string) => ` from "${SOURCES[module]}"`)
      .replaceAll(SERVER_URL, redisUrl)
      .replaceAll(/new (?:RateLimiter|Semaphore)\(\{/g, redisUrl === "" ? "$&" : PATIENT);
    writeFileSync(file, program);
    const runnable = DECORATOR.test(code) ? await lowerDecorators(file) : file;
    try {
      await import(/* @vite-ignore */ pathToFileURL(runnable).href);
    } finally {
      delete scope.printAt;
    }
  });
  for (const [line, text] of code.split("\n").entries()) {
    const expected = PRINTED.exec(text)?.groups?.["text"];
    if (expected === undefined) continue;
    const actual = [...new Set(printed.get(line))];
    expect(actual, `${name}, line ${line + 1} of the block: ${text.trim()}`).toEqual([expected]);
  }
}

const DECORATOR = /^ *@\w+\(/m;

/** The test runner's compiler leaves decorators as they stand, which no runtime can read yet. */
async function lowerDecorators(file: string): Promise<string> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const options = ["--target", "es2022", "--module", "preserve", "--noCheck", "--noResolve"];
  await promisify(execFile)(process.execPath, [tsc, file, "--ignoreConfig", ...options]);
  return file.replace(/\.ts$/, ".js");
}

/** Checks the types of all snippets in one run of the compiler, with the repository's own options. */
export async function checkTypes(snippets: readonly Snippet[]): Promise<void> {
  await withDirectory(async (directory) => {
    const names = new Map<string, string>();
    for (const [i, { name, code }] of snippets.entries()) {
      names.set(`snippet-${i}.ts`, name);
      writeFileSync(join(directory, `snippet-${i}.ts`), `${code}\nexport {};\n`);
    }
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        typeRoots: [join(root, "node_modules/@types")],
        noUnusedLocals: false,
      },
      include: ["*.ts"],
    };
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config));
    writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const errors = await promisify(execFile)(process.execPath, [tsc, "-p", directory], {
      cwd: directory,
    }).then(
      () => "",
      (error: unknown) => String((error as { stdout?: unknown }).stdout ?? error),
    );
    const named = errors.replaceAll(/snippet-\d+\.ts/g, (file) => names.get(file) ?? file);
    expect(named).toBe("");
  });
}

/** Outside the repository, so that nothing stays in it, but with its packages in reach. */
async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-snippets-"));
  try {
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"), "dir");
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
