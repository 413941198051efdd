/** A document as it was read, of whatever format: values that know their lines. */

/** A text, a number, true, false or null; from code anything that is neither a list nor a map. */
export interface ScalarNode {
  readonly kind: "scalar";
  readonly line: number | undefined;
  readonly value: unknown;
}

export interface ListNode {
  readonly kind: "list";
  readonly line: number | undefined;
  readonly items: readonly SourceNode[];
}

/** No two entries have one name. */
export interface MapNode {
  readonly kind: "map";
  readonly line: number | undefined;
  readonly entries: ReadonlyMap<string, SourceNode>;
}

export type SourceNode = ScalarNode | ListNode | MapNode;

/** Nothing in a document is nested deeper. */
export const MAX_DEPTH = 32;
/** A megabyte: a document of 10,000 overrides has about that. */
const MOST_BYTES = 1_048_576;
/** Values in a document: more than a megabyte can hold that means anything. */
const MAX_VALUES = 400_000;

/** What a source is refused for before anything in it is looked at. */
export class SourceError extends Error {
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

export const TOO_LONG = `longer than ${MOST_BYTES} bytes`;

/** Whether a text is more than a document may be. */
export function isTooLong(text: string): boolean {
  return text.length > MOST_BYTES || new TextEncoder().encode(text).length > MOST_BYTES;
}

export const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`;

/** A value alone. No text that is printed tells -0 from 0. */
export function scalarNode(line: number | undefined, value: unknown): ScalarNode {
  return { kind: "scalar", line, value: value === 0 ? 0 : value };
}

/** A value as it was written: own properties alone, whatever their names. */
export function valueOf(node: SourceNode): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(valueOf);
  return Object.fromEntries([...node.entries].map(([name, each]) => [name, valueOf(each)]));
}

/** Nodes of a value of the program's own, without lines. */
export function nodeOf(value: unknown): SourceNode {
  let left = MAX_VALUES;
  const visit = (each: unknown, depth: number): SourceNode => {
    if (depth > MAX_DEPTH) throw new SourceError(TOO_DEEP);
    left -= 1;
    if (left < 0) throw new SourceError(`more than ${MAX_VALUES} values`);
    if (Array.isArray(each)) {
      if (each.length > left) throw new SourceError(`more than ${MAX_VALUES} values`);
      const items = Array.from(each, (item: unknown) => visit(item, depth + 1));
      return { kind: "list", line: undefined, items };
    }
    if (!isPlain(each)) return scalarNode(undefined, each);
    const entries = new Map<string, SourceNode>();
    for (const [name, item] of Object.entries(each)) {
      if (item !== undefined) entries.set(name, visit(item, depth + 1));
    }
    return { kind: "map", line: undefined, entries };
  };
  return visit(value, 0);
}

function isPlain(value: unknown): value is object {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.prototype.toString.call(value) === "[object Object]" &&
    typeof (value as { then?: unknown }).then !== "function"
  );
}
