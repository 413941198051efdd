/** Reads the settings: from flags, or else the environment, or else the file, or else the table. */
import { readFile } from "node:fs/promises";
import { parse as parseYaml } from "yaml";
import { UsageError } from "../command-line/options.js";
import { didYouMean } from "../did-you-mean.js";
import { valueText } from "../terminal/format.js";
import {
  flagOf,
  type ServiceSettings,
  type Setting,
  type SettingName,
  SETTINGS,
  variableOf,
} from "./settings.js";
import { spanMs } from "./span.js";

/** A setting that cannot be: the message names it as its writer did. */
export class SettingError extends UsageError {}

export type Environment = Readonly<Record<string, string | undefined>>;

const ENTRIES = Object.entries(SETTINGS) as readonly (readonly [SettingName, Setting])[];
const IN_FILES = ENTRIES.filter(([, { file }]) => file !== false).map(([name]) => name);

/** A value, and what to call it in a message. */
interface Given {
  readonly value: unknown;
  readonly as: string;
}

/**
 * The settings of a service. `flags` are the values on the command line, by the names of the table.
 *
 * @throws SettingError
 */
export async function readSettings(
  flags: Readonly<Partial<Record<SettingName, string | boolean | undefined>>>,
  env: Environment,
): Promise<ServiceSettings> {
  const given = (name: SettingName): Given | undefined => {
    if (flags[name] !== undefined && flags[name] !== false) {
      return { value: flags[name], as: `--${flagOf(name)}` };
    }
    const variable = variableOf(name);
    const value = env[variable];
    const { isNeverEmpty }: Setting = SETTINGS[name];
    if (value === "" && isNeverEmpty === true) throw new SettingError(`${variable} is empty`);
    return value === undefined || value === "" ? undefined : { value, as: variable };
  };
  const file = given("config")?.value;
  const inFile = typeof file === "string" ? await readConfig(file) : {};
  const settings: Record<string, unknown> = {};
  for (const [name, setting] of ENTRIES) {
    const value = inFile[name];
    const one =
      given(name) ??
      (value === undefined ? undefined : { value, as: `${name} of ${String(file)}` });
    settings[name] = one === undefined ? withoutAny(setting) : parsed(setting, one.value, one.as);
  }
  return settings as unknown as ServiceSettings;
}

function withoutAny(setting: Setting): unknown {
  if (setting.kind === "switch") return false;
  const { default: value } = setting;
  return setting.kind === "texts" && value !== undefined ? listOf(String(value)) : value;
}

/** @throws SettingError */
async function readConfig(path: string): Promise<Readonly<Record<string, unknown>>> {
  let content: unknown;
  try {
    const text = await readFile(path, "utf8");
    content = /\.ya?ml$/i.test(path) ? parseYaml(text) : JSON.parse(text);
  } catch (error) {
    // Neither parser's sentence is shown: it may quote a secret.
    const code = (error as NodeJS.ErrnoException).code;
    const why = code?.startsWith("E") === true ? code : "it is no JSON, or no YAML by its name";
    throw new SettingError(`${path} cannot be read: ${why}`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new SettingError(`${path} must hold an object of settings`);
  }
  for (const name of Object.keys(content)) {
    const setting: Setting | undefined = Object.hasOwn(SETTINGS, name)
      ? SETTINGS[name as SettingName]
      : undefined;
    if (setting === undefined || setting.file === false) {
      const near = didYouMean(name, IN_FILES);
      throw new SettingError(
        `${path} has ${valueText(name)}, which is no setting for a file${near}`,
      );
    }
  }
  return content as Readonly<Record<string, unknown>>;
}

/** @throws SettingError */
function parsed(setting: Setting, value: unknown, as: string): unknown {
  const { kind, choices } = setting;
  const refuse = (allowed: string): never => {
    throw new SettingError(`${as} must be ${allowed}`);
  };
  if (kind === "switch") {
    if (value === true || value === "true" || value === "1") return true;
    return value === false || value === "false" || value === "0" ? false : refuse("true or false");
  }
  if (kind === "number" || kind === "milliseconds") {
    const number = kind === "number" ? countOf(value) : spanMs(value);
    const { least = 0, most = Number.MAX_SAFE_INTEGER } = setting;
    if (number !== undefined && number >= least && number <= most) return number;
    return refuse(
      kind === "number"
        ? `a whole number from ${least} to ${most}`
        : `a span such as 250ms or 10s, from ${least} ms to ${most} ms`,
    );
  }
  if (kind === "texts" && Array.isArray(value) && value.every((each) => typeof each === "string")) {
    return value;
  }
  if (typeof value !== "string" || value === "" || value.includes("\0")) return refuse("a text");
  if (choices !== undefined && !choices.includes(value)) {
    return refuse(choices.join(" or ") + didYouMean(value, choices));
  }
  return kind === "texts" ? listOf(value) : value;
}

function listOf(text: string): readonly string[] {
  return text.split(",").map((each) => each.trim());
}

function countOf(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : undefined;
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
