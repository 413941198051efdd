/** Documents of policies that a command line names. */
import { createReadStream } from "node:fs";
import { systemClock } from "sluice";
import {
  InvalidPoliciesError,
  loadYaml,
  type ParsedPolicies,
  parsePolicies,
  type PoliciesDocument,
} from "sluice/policies";
import type { Io } from "../terminal/terminal.js";
import { UsageError } from "./options.js";

/** The name of standard input. */
const STDIN = "-";
/** Longer texts are no documents; the parser says so. */
const MOST_CHARACTERS = 2 ** 21;

/**
 * Reads and checks a document: a file in JSON or YAML, or standard input for "-", in JSON.
 *
 * @throws InvalidPoliciesError
 */
export async function readPolicies(file: string, io: Io): Promise<ParsedPolicies> {
  const text = await readText(file, io);
  const isYaml = /\.ya?ml$/i.test(file);
  return parsePolicies(text, {
    file: file === STDIN ? "(standard input)" : file,
    nowUs: systemClock.nowUs(),
    ...(isYaml && { yaml: await loadYaml() }),
  });
}

/**
 * The same for a command whose document must be valid.
 *
 * @throws UsageError that lists what is wrong with it
 */
export async function validPolicies(file: string, io: Io): Promise<PoliciesDocument> {
  try {
    return (await readPolicies(file, io)).document;
  } catch (error) {
    if (!(error instanceof InvalidPoliciesError)) throw error;
    throw new UsageError(error.problems.map(({ message }) => message).join("\n"));
  }
}

/** All of a file or of standard input, as far as a document goes. */
export async function readText(file: string, io: Io): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of file === STDIN ? io.stdin : createReadStream(file)) {
      text +=
        typeof chunk === "string" ? chunk : decoder.decode(chunk as Uint8Array, { stream: true });
      if (text.length > MOST_CHARACTERS) break;
    }
  } catch (error) {
    throw new UsageError(
      `${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return text + decoder.decode();
}
