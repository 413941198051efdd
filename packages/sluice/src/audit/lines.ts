/** Splits a stream of text or bytes into lines. */

/** What a log is read from: any stream of text or bytes, such as a file's or standard input. */
export type ByteSource = AsyncIterable<string | Uint8Array>;

/** A line of a log is some 300 bytes; one this long is not a log, and must not fill the memory. */
const LONGEST_LINE = 1024 * 1024;

/** The longest line was passed: whatever is read, it is not a text of lines. */
export class LineTooLongError extends Error {}

/**
 * The lines of a source, without their ends ("\n" or "\r\n"), in batches of what arrived together:
 * a million single steps of an async iterator would cost more than the parsing.
 */
export async function* linesOf(source: ByteSource): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of source) {
    const text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield lines.map(withoutReturn);
    if (rest.length > LONGEST_LINE) {
      throw new LineTooLongError(`a line is longer than ${LONGEST_LINE} characters`);
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield [withoutReturn(rest)];
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
