/** Reads YAML with the line of every value, by the package `yaml`, if it is installed. What can grow without end is refused. */
import { InvalidOptionError } from "../core/errors.js";
import { fieldOf, InWords } from "../core/shown.js";
import { MAX_DEPTH, scalarNode, SourceError, type SourceNode, TOO_DEEP } from "./source-node.js";

/** What is used of the package `yaml`, from 2.4 on. */
export interface YamlModule {
  /** Cuts a text into lexemes. */
  readonly Lexer: new () => { lex(source: string): Iterable<string> };
  /** Makes tokens of lexemes. */
  readonly Parser: new (
    onNewLine: (offset: number) => void,
  ) => YamlParser;
  /** Makes documents of tokens. */
  readonly Composer: new (
    options: Readonly<Record<string, unknown>>,
  ) => {
    compose(tokens: Iterable<never>, forceDoc: boolean, endOffset: number): Iterable<unknown>;
  };
  /** Knows the line of an offset. */
  readonly LineCounter: new () => {
    addNewLine: (offset: number) => void;
    linePos: (offset: number) => { line: number };
  };
  /** Whether a node is a map. */
  isMap(node: unknown): boolean;
  /** Whether a node is a list. */
  isSeq(node: unknown): boolean;
  /** Whether a node is a text, a number and so on. */
  isScalar(node: unknown): boolean;
}

/** The parser of the package `yaml`: what is used of it. */
export interface YamlParser {
  /** What is open: as deep as the text is nested. */
  stack: readonly unknown[];
  /** Reads more of the text. */
  next(lexeme: string): Iterable<unknown>;
  /** Reads to the end of the text. */
  end(): Iterable<unknown>;
}

interface YamlDocument {
  readonly contents: unknown;
  readonly errors: readonly YamlFault[];
  readonly warnings: readonly YamlFault[];
}

interface YamlFault {
  readonly message: string;
  readonly pos: readonly [number, number];
}

interface YamlNode {
  readonly range?: readonly number[] | null;
  readonly items?: readonly unknown[];
  readonly value?: unknown;
}

interface YamlPair {
  readonly key: YamlNode | null;
  readonly value: YamlNode | null;
}

/** A document of 10,000 overrides has some 450,000. */
const MAX_LEXEMES = 700_000;
/** A level of a document takes at most three. Deeper, the package itself may end the process: its own stack overflows. */
const MAX_OPEN = MAX_DEPTH * 3;
/** What a lexeme begins with that is refused. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["*", "an alias: write the value out"],
  ["&", "an anchor: write the value out where it is needed"],
  ["!", "a tag: values have no types of their own here"],
]);

/** Whether something can read YAML for us. */
export function isYamlModule(value: unknown): value is YamlModule {
  return ["Lexer", "Parser", "Composer", "LineCounter", "isMap", "isSeq", "isScalar"].every(
    (name) => typeof fieldOf(value, name) === "function",
  );
}

/**
 * The package `yaml`, for `parsePolicies`, if it is installed.
 * @throws InvalidOptionError if it is not.
 * @example
 * import { loadYaml, parsePolicies } from "sluice/policies";
 * const text = "rules:\n  - { name: api, policy: { algorithm: gcra, limit: 5, period: 1s } }\n";
 * const { document } = parsePolicies(text, { format: "yaml", yaml: await loadYaml() });
 * console.log(document.rules[0]?.policy.algorithm); // gcra
 */
export async function loadYaml(): Promise<YamlModule> {
  // In a variable, so that no bundler looks for it.
  const name = "yaml";
  try {
    const module: unknown = await import(name);
    if (isYamlModule(module)) return module;
  } catch (error) {
    if (fieldOf(error, "code") !== "ERR_MODULE_NOT_FOUND") throw error;
  }
  throw new InvalidOptionError(
    "yaml",
    new InWords("none"),
    'the package yaml, 2.4 or newer, for documents in YAML: type "npm install yaml", or write JSON',
  );
}

/** Reads the tokens of a text, as long as they are few and not nested deeply. */
function tokensOf(
  text: string,
  parser: YamlParser,
  lexer: { lex(source: string): Iterable<string> },
): readonly unknown[] {
  const tokens: unknown[] = [];
  let line = 1;
  let count = 0;
  for (const lexeme of lexer.lex(text)) {
    const refused = REFUSED.get(lexeme[0] as string);
    if (refused !== undefined) throw new SourceError(refused, line);
    count += 1;
    if (count > MAX_LEXEMES) throw new SourceError("more values than a document can have", line);
    tokens.push(...parser.next(lexeme));
    if (parser.stack.length > MAX_OPEN) throw new SourceError(TOO_DEEP, line);
    for (let at = lexeme.indexOf("\n"); at >= 0; at = lexeme.indexOf("\n", at + 1)) line += 1;
  }
  tokens.push(...parser.end());
  return tokens;
}

function composed(text: string, tokens: readonly unknown[], yaml: YamlModule): YamlDocument {
  // Twice the same name is found below: the package compares each with each.
  const options = { uniqueKeys: false, stringKeys: true, prettyErrors: false, logLevel: "silent" };
  let document: YamlDocument | undefined;
  for (const each of new yaml.Composer(options).compose(
    tokens as readonly never[],
    true,
    text.length,
  )) {
    if (document !== undefined) throw new SourceError("more than one document in the file");
    document = each as YamlDocument;
  }
  return document as YamlDocument;
}

/**
 * The values of a YAML text with their lines.
 * @throws SourceError
 */
export function readYaml(text: string, yaml: YamlModule): SourceNode {
  const lines = new yaml.LineCounter();
  lines.addNewLine(0);
  const parser = new yaml.Parser(lines.addNewLine);
  const document = composed(text, tokensOf(text, parser, new yaml.Lexer()), yaml);
  const lineOf = (node: YamlNode | null): number | undefined =>
    node?.range === undefined || node.range === null
      ? undefined
      : lines.linePos(node.range[0] as number).line;
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw new SourceError(fault.message, lines.linePos(fault.pos[0]).line);
  const visit = (node: YamlNode | null, depth: number, above: number | undefined): SourceNode => {
    const line = lineOf(node) ?? above;
    if (depth > MAX_DEPTH) throw new SourceError(TOO_DEEP, line);
    if (node === null) return { kind: "scalar", line, value: null };
    if (yaml.isScalar(node)) return scalarNode(line, node.value);
    if (yaml.isSeq(node)) {
      const items = (node.items as readonly YamlNode[]).map((item) => visit(item, depth + 1, line));
      return { kind: "list", line, items };
    }
    if (!yaml.isMap(node)) throw new SourceError("neither a value, a list nor an object", line);
    const entries = new Map<string, SourceNode>();
    for (const { key, value } of node.items as readonly YamlPair[]) {
      const name = key?.value;
      const at = lineOf(key) ?? line;
      if (typeof name !== "string") throw new SourceError("a name that is not a text", at);
      if (entries.has(name)) throw new SourceError("a name appears twice in one object", at);
      entries.set(name, visit(value, depth + 1, at));
    }
    return { kind: "map", line, entries };
  };
  return visit(document.contents as YamlNode | null, 0, 1);
}
