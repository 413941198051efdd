/** Lets in visitors with a token, which is compared in a time that reveals nothing of it. */
import { createHash, timingSafeEqual } from "node:crypto";
import { InvalidOptionError } from "sluice";
import type { DashboardOptions } from "./options.js";
import type { Access } from "./wire.js";

/** What a token is good for, as long as it is. */
export interface Pass {
  readonly who: string;
  /** Undefined once the token is not good any more. */
  readonly access: () => Access | undefined;
}

/** Whose tokens open it. */
export interface Door {
  /** Undefined if the token is unknown. Takes the same time for any token, so that timing reveals nothing. */
  enter(token: string): Pass | undefined;
}

const LEAST_CHARACTERS = 16;
const MOST_CHARACTERS = 256;

export function digestOfSecret(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** @throws InvalidOptionError that does not show the token */
export function doorOf(token: DashboardOptions["token"]): Door | undefined {
  if (token === undefined) return undefined;
  const { read, admin } = typeof token === "string" ? { read: token, admin: undefined } : token;
  const known = (["read", "admin"] as const).flatMap((access) => {
    const text = access === "read" ? read : admin;
    if (text === undefined) return [];
    const isGood =
      typeof text === "string" && text.length >= LEAST_CHARACTERS && text.length <= MOST_CHARACTERS;
    const allowed = `a text of ${LEAST_CHARACTERS} to ${MOST_CHARACTERS} characters`;
    if (!isGood) throw new InvalidOptionError("token", undefined, allowed);
    return [{ access, digest: digestOfSecret(text) }];
  });
  if (known.length === 0) {
    throw new InvalidOptionError("token", undefined, "a text, or { read, admin } with one of them");
  }
  return {
    enter(given) {
      const digest = digestOfSecret(given);
      let found: Pass | undefined;
      // Of one token for both rights the higher one counts: it comes last.
      for (const each of known) {
        if (!timingSafeEqual(each.digest, digest)) continue;
        found = { who: `${each.access} token`, access: () => each.access };
      }
      return found;
    },
  };
}
