/** Every setting, by its flag, its variable and its name in the file; and what a service says of itself when it starts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSettings } from "../../src/serve/read-settings.js";
import { runService } from "../../src/serve/run-service.js";
import {
  type ServiceSettings,
  type Setting,
  type SettingName,
  SETTINGS,
  variableOf,
} from "../../src/serve/settings.js";
import { temporaryFolder } from "../support/service.js";

/** A value that is not the default, as one types it, and what it comes to. */
function exampleOf({ kind, choices, least = 0 }: Setting): readonly [text: string, value: unknown] {
  if (choices !== undefined) return [choices.at(-1) as string, choices.at(-1)];
  if (kind === "switch") return ["true", true];
  if (kind === "number") return [String(least + 7), least + 7];
  if (kind === "milliseconds") return ["7s", 7000];
  return kind === "texts" ? ["a:1, b:2", ["a:1", "b:2"]] : ["some-text", "some-text"];
}

const names = Object.keys(SETTINGS) as readonly SettingName[];

test.each(names)(
  "%s means the same wherever it stands, and a flag goes before a variable before the file",
  async (name) => {
    const setting: Setting = SETTINGS[name];
    const [text, value] = exampleOf(setting);
    const read = async (
      flags: object,
      env: Readonly<Record<string, string>>,
    ): Promise<ServiceSettings[SettingName]> => (await readSettings(flags, env))[name];
    const file = join(temporaryFolder(), "service.json");
    writeFileSync(file, JSON.stringify(name === "config" ? {} : { [name]: text }));
    const isOfFile = setting.file !== false;
    if (name === "config") {
      expect(await read({ config: file }, { SLUICE_CONFIG: "/none.json" })).toBe(file);
      expect(await read({}, { SLUICE_CONFIG: file })).toBe(file);
      return;
    }
    const unset = await read({}, {});
    expect(unset).not.toEqual(value);
    const variable = variableOf(name);
    expect(await read({}, { [variable]: text })).toEqual(value);
    expect(await read({}, { [variable]: setting.isNeverEmpty === true ? text : "" })).toEqual(
      setting.isNeverEmpty === true ? value : unset,
    );
    if (setting.flag !== false) {
      expect(await read({ [name]: text }, { [variable]: "x" })).toEqual(value);
    }
    if (!isOfFile) {
      await expect(read({ config: file }, {})).rejects.toThrow("no setting for a file");
      return;
    }
    expect(await read({ config: file }, {})).toEqual(value);
    writeFileSync(file, JSON.stringify({ [name]: {} }));
    expect(await read({ config: file }, { [variable]: text })).toEqual(value);
    await expect(read({ config: file }, {})).rejects.toThrow(`${name} of ${file} must be`);
  },
);

/** Runs a service until it is ready, and ends it. */
async function started(
  listen: string,
  env: Readonly<Record<string, string>> = {},
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const policies = join(temporaryFolder(), "policies.json");
  writeFileSync(policies, '{"rules":[]}');
  const lines: string[] = [];
  const end = new AbortController();
  const isUp = (): boolean => lines.some((line) => line.includes('"ready"'));
  await runService(
    { policies, listen, drainDelay: "0" },
    {
      env,
      ended: end.signal,
      write: (line) => {
        lines.push(line);
        if (isUp()) setImmediate(() => end.abort());
      },
    },
  );
  return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

test("says where it listens, by what it decides, and that it ends", async () => {
  const lines = await started("127.0.0.1:0,[::1]:0");
  expect(lines.map(({ level, message }) => [level, message])).toEqual([
    ["info", "listening"],
    ["info", "listening"],
    ["info", "ready"],
    ["info", "draining"],
    ["info", "ended"],
  ]);
  expect(lines[0]?.["address"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(lines[1]?.["address"]).toMatch(/^http:\/\/\[::1\]:\d+$/);
  expect(lines[2]).toMatchObject({ rules: 0, store: "memory", tokens: false });
});

test("warns where everybody who reaches it may ask", async () => {
  const warning = "everybody who reaches the service may ask it: it has no tokens";
  const warnings = async (listen: string, env?: Readonly<Record<string, string>>) =>
    (await started(listen, env))
      .filter(({ level }) => level === "warn")
      .map((line) => line["message"]);
  expect(await warnings("0.0.0.0:0")).toEqual([warning]);
  expect(await warnings("127.0.0.1:0,0.0.0.0:0")).toEqual([warning]);
  expect(await warnings("localhost:0")).toEqual([]);
  const tokens = { SLUICE_TOKENS: "gateway decide gateway-0123456789abcdef" };
  expect(await warnings("0.0.0.0:0", tokens)).toEqual([]);
});
