/** The Dockerfile: its form, that what it copies is there, and its health check against a service. */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { runNode } from "../../../sluice/test/support/processes.js";
import { SETTINGS, type SettingName, variableOf } from "../../src/serve/settings.js";
import { fromRoot, textOf } from "./files.js";

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** Its instructions, each in one line. @throws where a line is none that Docker knows. */
function instructionsOf(text: string): readonly Instruction[] {
  const whole = text.replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "");
  const lines = whole.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const [, name, rest] =
      /^(FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|HEALTHCHECK|STOPSIGNAL|ENTRYPOINT|CMD) +(\S.*)$/.exec(
        line,
      ) ?? [];
    if (name === undefined || rest === undefined) throw new Error(`no instruction: ${line}`);
    return { name, rest };
  });
}

/** By stage, the last of which becomes the image. */
function stagesOf(text: string): readonly (readonly Instruction[])[] {
  const stages: Instruction[][] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === "FROM") stages.push([]);
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error("the first instruction must be FROM");
    stage.push(instruction);
  }
  return stages;
}

const [build = [], image = []] = stagesOf(textOf("Dockerfile"));

const only = (name: string): string => {
  const found = image.filter((instruction) => instruction.name === name);
  expect(found).toHaveLength(1);
  return found[0]?.rest ?? "";
};

/** A command that no shell reads. */
const words = (rest: string): readonly string[] => JSON.parse(rest) as readonly string[];

/** Whether the context has a path: .dockerignore leaves out all but what it names. */
function isInContext(path: string): boolean {
  const lines = textOf(".dockerignore").split("\n");
  expect(lines.find((line) => line !== "" && !line.startsWith("#"))).toBe("*");
  const named = lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  return named.some((name) => path === name || path.startsWith(`${name}/`));
}

test("what is copied is there", () => {
  const copies = build.filter(({ name }) => name === "COPY").map(({ rest }) => rest.split(/ +/));
  const paths = copies.flatMap((copy) => copy.slice(0, -1));
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !existsSync(fromRoot(path)) || !isInContext(path))).toEqual([]);
  // All the workspaces that the lockfile has.
  const { workspaces } = JSON.parse(textOf("package.json")) as { workspaces: readonly string[] };
  expect(workspaces).toEqual(["packages/*", "bench", "dashboard"]);
  const made = image.filter(({ name }) => name === "COPY").map(({ rest }) => rest);
  for (const rest of made) {
    expect(rest).toMatch(/^--from=build \/sluice\/(\S+) \1$/);
    const path = rest.split(" ").at(-1) ?? "";
    expect(isInContext(path) || path === "node_modules").toBe(true);
  }
});

test("the image runs as nobody in particular, and has no use for a shell", () => {
  expect(image[0]?.rest).toMatch(/^gcr\.io\/distroless\/nodejs\d+-debian\d+:nonroot$/);
  expect(build[0]?.rest).toMatch(/^node:\d+-\S+ AS build$/);
  const nodes = [build, image].map(([from]) => /node(?:js|:)(\d+)/.exec(from?.rest ?? "")?.[1]);
  expect(nodes[0]).toBe(nodes[1]);
  expect(image.filter(({ name }) => name === "RUN")).toEqual([]);
  expect(only("USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(only("STOPSIGNAL")).toBe("SIGTERM");
  const [node, program] = words(only("ENTRYPOINT"));
  expect(node).toBe("/nodejs/bin/node");
  const { bin } = JSON.parse(textOf("packages/cli/package.json")) as { bin: { sluice: string } };
  expect(program).toBe(`packages/cli/${bin.sluice.replace(/^\.\//, "")}`);
  expect(words(only("CMD"))).toEqual(["serve"]);
});

test("its variables are settings", () => {
  const known = Object.keys(SETTINGS).map((name) => variableOf(name as SettingName));
  const set = image.filter(({ name }) => name === "ENV").map(({ rest }) => rest.split("=")[0]);
  expect(set).toEqual(["NODE_ENV", "SLUICE_LISTEN", "SLUICE_POLICIES"]);
  expect(known).toEqual(expect.arrayContaining(set.slice(1)));
  expect(only("EXPOSE")).toBe(
    image
      .find(({ rest }) => rest.startsWith("SLUICE_LISTEN="))
      ?.rest.split(":")
      .at(-1),
  );
});

test("the health check passes before a service that is well, and fails otherwise", async () => {
  const check = only("HEALTHCHECK");
  const [, ...args] = words(check.slice(check.indexOf(" CMD ") + 5));
  let status = 200;
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/healthz" ? status : 404).end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const here = args.map((arg) => arg.replace("127.0.0.1:8088", `127.0.0.1:${port}`));
  expect(here).not.toEqual(args);
  expect((await runNode(...here)).code).toBe(0);
  status = 503;
  expect((await runNode(...here)).code).toBe(1);
  server.close();
  server.closeAllConnections();
  expect((await runNode(...here)).code).toBe(1);
});

test("the instructions are read as Docker does", () => {
  const text = "# a\nFROM a AS b\nRUN c \\\n  # d\n  && e\n";
  expect(instructionsOf(text)).toEqual([
    { name: "FROM", rest: "a AS b" },
    { name: "RUN", rest: "c && e" },
  ]);
  expect(() => instructionsOf("FROM a\nRUNN b")).toThrow("no instruction: RUNN b");
  expect(() => stagesOf("RUN a")).toThrow("the first instruction must be FROM");
  expect(readFileSync(fromRoot("Dockerfile"), "utf8")).toContain("FROM");
});
