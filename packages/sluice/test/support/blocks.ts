/** The blocks of code of a Markdown page. */
import { readFileSync } from "node:fs";

export interface Block {
  readonly page: string;
  /** Of the fence. */
  readonly line: number;
  readonly language: string;
  /** What the fence says behind the language. */
  readonly more: string;
  readonly text: string;
}

const FENCE = /^ *```(?<language>\S*)(?: (?<more>[^\n]+))?\n(?<text>.*?)^ *```$/gms;

export function blocksOf(page: string): readonly Block[] {
  const text = readFileSync(page, "utf8");
  return [...text.matchAll(FENCE)].map(({ index, groups }) => ({
    page,
    line: text.slice(0, index).split("\n").length,
    language: groups?.["language"] ?? "",
    more: groups?.["more"] ?? "",
    text: groups?.["text"] ?? "",
  }));
}

/** Whether a block is a file that commands further down on its page use: its fence names it. */
export function namesFile({ more }: Block): boolean {
  return /^[\w-]+\.\w+$/.test(more);
}
