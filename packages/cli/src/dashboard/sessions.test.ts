import { expect, test } from "vitest";
import { Sessions } from "./sessions.js";
import type { Pass } from "./tokens-door.js";

const passOf = (who: string, access: () => "read" | undefined = () => "read"): Pass => ({
  who,
  access,
});

/** What a browser sends back of a cookie. */
const withCookie = (field: string): Request =>
  new Request("http://h/", { headers: { cookie: field.split(";")[0] ?? "" } });

test("of more than 1,000 sessions the oldest ends", () => {
  const sessions = new Sessions();
  const fields = Array.from({ length: 1001 }, (_, i) => sessions.begin(passOf(`${i}`), false));
  expect(sessions.size).toBe(1000);
  const who = fields.map((field) => sessions.passOf(withCookie(field))?.who);
  expect([who[0], who[1], who[1000]]).toEqual([undefined, "1", "1000"]);
});

test("a session ends after 12 hours, and those that are over make room first", () => {
  let nowMs = 1e12;
  const sessions = new Sessions(() => nowMs);
  const first = sessions.begin(passOf("first"), false);
  nowMs += 12 * 3600e3 - 1;
  const second = sessions.begin(passOf("second"), false);
  expect(sessions.passOf(withCookie(first))?.who).toBe("first");
  nowMs += 1;
  expect(sessions.passOf(withCookie(first))).toBeUndefined();
  nowMs += 12 * 3600e3;
  sessions.begin(passOf("third"), false);
  expect(sessions.size).toBe(1);
  expect(sessions.passOf(withCookie(second))).toBeUndefined();
});

test("a session ends with its token, at a logout, and with the dashboard", () => {
  const sessions = new Sessions();
  let access: "read" | undefined = "read";
  const [first, second, third] = ["a", "b", "c"].map((who) =>
    withCookie(
      sessions.begin(
        passOf(who, () => access),
        false,
      ),
    ),
  ) as [Request, Request, Request];
  access = undefined;
  expect(sessions.passOf(first)).toBeUndefined();
  // Permanently, though the token comes back.
  access = "read";
  expect(sessions.passOf(first)).toBeUndefined();
  expect(sessions.end(second, true)).toBe(
    "sluice_session=; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
  );
  expect(sessions.passOf(second)).toBeUndefined();
  expect(sessions.passOf(third)?.who).toBe("c");
  sessions.clear();
  expect(sessions.passOf(third)).toBeUndefined();
});

test("a name is known by its whole cookie, and no two are alike", () => {
  const sessions = new Sessions();
  const field = sessions.begin(passOf("a"), false);
  const cookie = field.split(";")[0] ?? "";
  const name = cookie.split("=")[1] ?? "";
  expect(sessions.begin(passOf("a"), false).includes(name)).toBe(false);
  const who = (sent: string) =>
    sessions.passOf(new Request("http://h/", { headers: { cookie: sent } }))?.who;
  expect(who(`a=1; ${cookie}; b=2`)).toBe("a");
  expect(who(`x${cookie}`)).toBeUndefined();
  expect(who(`${cookie}x`)).toBeUndefined();
  expect(who(cookie.slice(0, -1))).toBeUndefined();
});
