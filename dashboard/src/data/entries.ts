/** Entries of a request as one text, `user=acme,route=/v1`, as rules' keys and overrides spell them. */

const ESCAPES: Readonly<Record<string, string>> = {
  "%": "%25",
  ",": "%2C",
  "*": "%2A",
  "=": "%3D",
};

const escapeAll = (text: string, special: RegExp): string =>
  text.replace(special, (character) => ESCAPES[character] ?? character);

/** Only what is escaped: any other `%` is itself. */
const unescapeAll = (text: string): string =>
  text.replace(/%(?:25|2C|2A|3D)/gi, (escaped) =>
    String.fromCharCode(Number.parseInt(escaped.slice(1), 16)),
  );

/** @throws if a part has no `=` or no name, or a name comes twice; the message is for the visitor. */
export function parseEntries(text: string): Readonly<Record<string, string>> {
  const entries = new Map<string, string>();
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    if (equals < 1) {
      throw new Error(`“${part}” is not name=value. Write a comma in a value as %2C.`);
    }
    const name = unescapeAll(part.slice(0, equals).trim());
    if (entries.has(name)) throw new Error(`“${name}” is there twice.`);
    entries.set(name, unescapeAll(part.slice(equals + 1).trim()));
  }
  return Object.fromEntries(entries);
}

/** The text from which `parseEntries` reads these entries. */
export function printEntries(entries: Readonly<Record<string, string>>): string {
  return Object.entries(entries)
    .map(([name, value]) => `${escapeAll(name, /[%,*=]/g)}=${escapeAll(value, /[%,*]/g)}`)
    .join(",");
}
