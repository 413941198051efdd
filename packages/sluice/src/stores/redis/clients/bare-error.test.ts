/** What clients attach to their errors, as they do, and that none of it is shown. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { withoutCommand } from "./bare-error.js";
import { asScriptFailure } from "./index.js";

const SECRET = "correct horse";
const shown = (error: unknown): string => inspect(error, { depth: 12, showHidden: true });

/** As ioredis words a refusal of the server. */
function refusal(message: string): Error {
  const command = { name: "auth", args: ["limiter", SECRET] };
  return Object.assign(new Error(message), { name: "ReplyError", command });
}

test("an error to which nothing is attached is itself", () => {
  const error = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  expect(withoutCommand(error)).toBe(error);
});

test.each([
  ["the command", refusal("WRONGPASS invalid username-password pair")],
  [
    "the last node's refusal",
    Object.assign(new Error("Failed to refresh slots cache."), {
      lastNodeError: refusal("WRONGPASS invalid username-password pair"),
    }),
  ],
  [
    "the command in the message",
    new Error(`WRONGPASS invalid, command was: ["auth","limiter","${SECRET}"]`),
  ],
  [
    "what the arguments begin with",
    new Error(`ERR WRONGPASS, with args beginning with: 'limiter' '${SECRET}' \n'x'`),
  ],
])("%s goes, what failed stays", (_, error) => {
  for (const bare of [withoutCommand(error), asScriptFailure(error)]) {
    expect(shown(bare)).not.toContain(SECRET);
    expect(bare.message).toContain("WRONGPASS");
    expect(bare.name).toBe(error.name);
  }
  // The client's own error belongs to its other listeners too.
  expect(shown(error)).toContain(SECRET);
});

test("the code and the cause stay", () => {
  const cause = new Error("reset");
  const error = Object.assign(new Error("gone", { cause }), { code: "ECONNRESET", command: {} });
  expect(withoutCommand(error)).toMatchObject({ message: "gone", code: "ECONNRESET", cause });
});
