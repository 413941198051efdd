/** A token that opens the dashboard once: the session that it begins goes on, and the token is worth nothing any more. */
import { randomBytes } from "node:crypto";
import { type Door, doorOf } from "../../dashboard/tokens-door.js";

const TOKEN_BYTES = 24;

/** What is printed, and what it opens. */
export interface OneTimeDoor extends Door {
  readonly token: string;
}

export function oneTimeDoor(): OneTimeDoor {
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const door = doorOf({ admin: token });
  let isUsed = false;
  return {
    token,
    enter(given) {
      const pass = door?.enter(given);
      if (pass === undefined || isUsed) return undefined;
      isUsed = true;
      return { who: "you", access: pass.access };
    },
  };
}
