/** Reads JSON with the line of every value, which JSON.parse does not tell, and in bounded depth. */
import { MAX_DEPTH, scalarNode, SourceError, type SourceNode, TOO_DEEP } from "./source-node.js";

const WORDS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["false", false],
  ["null", null],
]);
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /[\p{L}_$][\p{L}\p{N}_$]*/uy;
/** What a string holds up to its end, an escape, or a character that is not allowed in it. */
// oxlint-disable-next-line no-control-regex
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);
const HEX = /[\da-fA-F]{4}/y;

class JsonReader {
  readonly #text: string;
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
    if (text.startsWith("\uFEFF")) this.#at = 1;
  }

  document(): SourceNode {
    const node = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected("the end, after the last bracket");
    return node;
  }

  #value(depth: number): SourceNode {
    if (depth > MAX_DEPTH) throw this.#error(TOO_DEEP);
    this.#skipSpace();
    const line = this.#line;
    const character = this.#text[this.#at];
    if (character === "{") return this.#map(depth, line);
    if (character === "[") return this.#list(depth, line);
    if (character === '"') return { kind: "scalar", line, value: this.#string() };
    const number = this.#take(NUMBER);
    if (number !== undefined) return scalarNode(line, Number(number));
    const start = this.#at;
    const word = WORDS.get(this.#take(WORD) ?? "");
    if (word !== undefined) return { kind: "scalar", line, value: word };
    this.#at = start;
    throw this.#unexpected("a value");
  }

  #map(depth: number, line: number): SourceNode {
    const entries = new Map<string, SourceNode>();
    this.#each("}", () => {
      if (this.#text[this.#at] !== '"') throw this.#unexpected("a name in double quotes");
      const name = this.#string();
      if (entries.has(name)) throw this.#error(`${shownName(name)} appears twice in one object`);
      this.#skipSpace();
      if (this.#text[this.#at] !== ":") throw this.#unexpected('":" after the name');
      this.#at += 1;
      entries.set(name, this.#value(depth + 1));
    });
    return { kind: "map", line, entries };
  }

  #list(depth: number, line: number): SourceNode {
    const items: SourceNode[] = [];
    this.#each("]", () => items.push(this.#value(depth + 1)));
    return { kind: "list", line, items };
  }

  /** Reads comma-separated items up to the closing bracket. */
  #each(end: "}" | "]", item: () => void): void {
    this.#at += 1;
    this.#skipSpace();
    if (this.#text[this.#at] === end) {
      this.#at += 1;
      return;
    }
    for (;;) {
      item();
      this.#skipSpace();
      const character = this.#text[this.#at];
      if (character !== "," && character !== end) throw this.#unexpected(`"," or "${end}"`);
      this.#at += 1;
      if (character === end) return;
      this.#skipSpace();
      if (this.#text[this.#at] === end) {
        throw this.#error(`"," before "${end}"; JSON allows no comma after the last item`);
      }
    }
  }

  #string(): string {
    this.#at += 1;
    let text = this.#take(PLAIN) ?? "";
    while (this.#text[this.#at] !== '"') {
      if (this.#text[this.#at] !== "\\") throw this.#unexpected('the closing " of a text');
      text += this.#escape() + (this.#take(PLAIN) ?? "");
    }
    this.#at += 1;
    return text;
  }

  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? "";
    this.#at += 2;
    if (letter === "u") {
      const hex = this.#take(HEX);
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    }
    const character = ESCAPES.get(letter);
    if (character === undefined) {
      throw this.#error(`\\${letter} is not an escape of JSON; a backslash is written \\\\`);
    }
    return character;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) return undefined;
    this.#at += found.length;
    return found;
  }

  #skipSpace(): void {
    for (; ; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 10) this.#line += 1;
      else if (code !== 32 && code !== 13 && code !== 9) return;
    }
  }

  #unexpected(expected: string): SourceError {
    const rest = this.#text.slice(this.#at, this.#at + 2);
    if (rest === "") return this.#error(`the text ends where ${expected} is expected`);
    if (rest === "//" || rest === "/*" || rest[0] === "#") {
      return this.#error("JSON has no comments; use the field comment, or YAML");
    }
    if (rest[0] === "'") return this.#error("JSON allows only double quotes");
    return this.#error(`found ${shownName(rest[0] as string)} where ${expected} is expected`);
  }

  #error(message: string): SourceError {
    return new SourceError(message, this.#line);
  }
}

function shownName(name: string): string {
  return name.length > 40 ? "a long name" : JSON.stringify(name);
}

/**
 * The values of a JSON text with their lines.
 * @throws SourceError
 */
export function readJson(text: string): SourceNode {
  return new JsonReader(text).document();
}
