/** From what a source holds to something that can be asked. */
import { compilePolicies, type CompiledPolicies } from "./compile.js";
import type { PoliciesDocument } from "./document.js";
import { parsePolicies } from "./parse.js";
import type { SourceText } from "./policy-source.js";
import { loadYaml } from "./yaml-source.js";

/** A document that was found, checked and compiled. */
export interface LoadedPolicies {
  readonly compiled: CompiledPolicies;
  /** Which content of its source it is. */
  readonly mark: string;
  readonly by: string | undefined;
  readonly comment: string | undefined;
}

const YAML_FILE = /\.ya?ml$/i;

/** @throws InvalidPoliciesError */
export async function loadPolicies(text: SourceText): Promise<LoadedPolicies> {
  const { content, file, version } = text;
  const yaml = file !== undefined && YAML_FILE.test(file) ? await loadYaml() : undefined;
  const { document } = parsePolicies(content, { file, yaml });
  return loadedOf(document, { ...text, version });
}

/** A document that was checked. */
export function loadedOf(
  document: PoliciesDocument,
  { mark, version, by, comment }: Omit<SourceText, "content" | "file">,
): LoadedPolicies {
  const numbered = version === undefined ? document : Object.freeze({ ...document, version });
  return { compiled: compilePolicies(numbered), mark, by, comment };
}
