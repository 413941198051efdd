/** Who may ask for what: bearer tokens with scopes, compared in a time that tells nothing of them. */
import { createHash, timingSafeEqual } from "node:crypto";

/** "decide": everything that counts; "read": what counts nothing; "admin": what changes limits; "store": the store itself. */
export const SCOPES = ["decide", "read", "admin", "store"] as const;
export type Scope = (typeof SCOPES)[number];

export interface TokenHolder {
  /** What the log calls it. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
}

interface Known extends TokenHolder {
  readonly digest: Buffer;
}

/** Shorter ones can be guessed. */
const LEAST_CHARACTERS = 16;
/** Nothing longer is hashed: a client without a token must not cost more than others. */
const MOST_CHARACTERS = 512;

const BEARER = /^Bearer +([\w.~+/=-]+) *$/i;

export class Tokens {
  #known: readonly Known[];

  private constructor(known: readonly Known[]) {
    this.#known = known;
  }

  /**
   * Reads a line a token: its name, its scopes with commas between them, and the token; `#` begins a comment.
   *
   * @throws TypeError that says which line, and never what is in it
   */
  static parse(text: string): Tokens {
    const known = text.split(/\r?\n|;/).flatMap((line, i) => {
      const words = line.replace(/(?:^|\s)#.*$/, "").trim();
      return words === "" ? [] : [knownOf(words.split(/\s+/), i + 1)];
    });
    const names = new Set(known.map(({ name }) => name));
    if (names.size < known.length) throw new TypeError("two tokens have one name");
    const digests = new Map<string, string>();
    for (const { name, digest } of known) {
      const hex = digest.toString("hex");
      const other = digests.get(hex);
      if (other !== undefined) throw new TypeError(`${other} and ${name} have one token`);
      digests.set(hex, name);
    }
    return new Tokens(known);
  }

  /** Uses those of another list instead of its own, from now on. */
  replaceBy(others: Tokens): void {
    this.#known = others.#known;
  }

  /** Whether there are any: else everybody may ask for everything. */
  get areAsked(): boolean {
    return this.#known.length > 0;
  }

  /**
   * The holder of the token in an Authorization field; undefined if it is unknown. Always compares all of them, so that
   * timing reveals nothing.
   */
  holderOf(authorization: string | undefined): TokenHolder | undefined {
    if (authorization === undefined || authorization.length > MOST_CHARACTERS) return undefined;
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) return undefined;
    const digest = digestOfToken(token);
    let holder: Known | undefined;
    for (const each of this.#known) if (timingSafeEqual(each.digest, digest)) holder = each;
    return holder;
  }

  /** What a holder may do now: undefined if the token is no longer listed. */
  scopesOf(holder: TokenHolder): ReadonlySet<Scope> | undefined {
    const { name, digest } = holder as Known;
    return this.#known.find((each) => each.name === name && each.digest.equals(digest))?.scopes;
  }
}

function digestOfToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function knownOf(
  [name = "", scopes = "", token = "", ...rest]: readonly string[],
  line: number,
): Known {
  const refuse = (why: string): never => {
    throw new TypeError(`line ${line} of the tokens ${why}`);
  };
  if (rest.length > 0 || token === "") refuse('must be "name scope,scope token"');
  const list = scopes.split(",");
  const unknown = list.find((scope) => !SCOPES.some((each) => each === scope));
  if (unknown !== undefined) refuse(`has a scope that is none of ${SCOPES.join(", ")}`);
  if (token.length < LEAST_CHARACTERS || token.length > MOST_CHARACTERS / 2) {
    refuse(`has a token that is not of ${LEAST_CHARACTERS} to ${MOST_CHARACTERS / 2} characters`);
  }
  if (!/^[\w.~+/=-]+$/.test(token)) {
    refuse("has a token with characters other than A-Z a-z 0-9 - . _ ~ + / =");
  }
  return { name, scopes: new Set(list as Scope[]), digest: digestOfToken(token) };
}
