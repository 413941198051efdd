/** Twins in TypeScript and Lua have the same functions in the same order. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const sources = fileURLToPath(new URL("../../src/", import.meta.url));

interface Only {
  readonly ts: string;
  readonly lua: string;
}

const VALUE = { ts: "copy numbers load save", lua: "params unpack pack" };

/** Functions that one of the twins does not need, or has inline. */
const ONLY: Readonly<Record<string, Only>> = {
  "algorithms/bucket/kernel.lua": {
    ts: `evenDrainTime timeToFullAt modeOf bucketParams greatestCommonDivisor ${VALUE.ts}`,
    lua: VALUE.lua,
  },
  // A server has one clock.
  "algorithms/debit.lua": { ts: "toOneTime", lua: "" },
  // Lua has measure inline, its parts for fast paths in expiry.lua and unchanged.lua, and consumeOne in consume-one.lua.
  "algorithms/decide.lua": { ts: "measure expiryAfter admitted unchanged consumeOne", lua: "" },
  "algorithms/fixed-window/kernel.lua": { ts: "timeToFullAt copy load save", lua: "unpack pack" },
  // Lua has the members in a sorted set; the decision is the body of its script, with what is called once inline.
  "algorithms/semaphore/kernel.lua": {
    ts: "dropExpired executeSemaphore releaseEntries revokeEntries handOver acquireEntries renewEntries listEntries keepState replyOf",
    lua: "flush head soonest setLease parse memberAt get put",
  },
  // Lua has the hits in a hash.
  "algorithms/sliding-log/kernel.lua": {
    ts: "copy numbers besideBytes fullError",
    lua: "hit params load save",
  },
  "algorithms/sliding-window/kernel.lua": { ts: `timeToFullAt ${VALUE.ts}`, lua: VALUE.lua },
  "core/mul-div.lua": { ts: "mulDivWide", lua: "" },
};

function functionsOfTypeScript(code: string): readonly string[] {
  const declared = String.raw`^ *(?:export )?function (\w+)[<(]`;
  const assigned = String.raw`^(?:export )?const (\w+) = \(.*=>`;
  const member = String.raw`^ {2,6}(\w+)(?:: \([\w, ]*\) =>|\([\w, ]*\) \{$)`;
  return names(code, new RegExp(`${declared}|${assigned}|${member}`, "gm"));
}

function functionsOfLua(code: string): readonly string[] {
  return names(code, /^ *(?:(?:local )?function (\w+)\(|(\w+) = function\()/gm);
}

/** What the pattern's groups found, in its order. Lua may leave out the unit that TypeScript says. */
function names(code: string, pattern: RegExp): readonly string[] {
  return [...code.matchAll(pattern)]
    .map((match) => match.slice(1).find(Boolean) ?? "")
    .filter((name) => !["if", "for", "while", "switch"].includes(name))
    .map((name) => name.replace(/(?<=[a-z])(?:Us|Ms)$/, ""));
}

/** Each source in Lua that names a twin, with that. */
const twins = readdirSync(sources, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".lua"))
  .map((path) => path.replaceAll(sep, "/"))
  .flatMap((lua) => {
    const [, ts] = /\bTwin of (\S+\.ts)\b/.exec(readFileSync(sources + lua, "utf8")) ?? [];
    return ts === undefined ? [] : [{ lua, ts: join(dirname(lua), ts) }];
  });

test("every kernel and every part of the verbs has a twin", () => {
  const folders = readdirSync(`${sources}algorithms`, { recursive: true, encoding: "utf8" });
  const kernels = folders.filter((path) => basename(path) === "kernel.lua");
  const parts = ["debit.lua", "decide.lua", "reservations.lua"];
  const expected = [...kernels, ...parts].map((path) => `algorithms/${path.replaceAll(sep, "/")}`);
  expect(twins.map(({ lua }) => lua)).toEqual(
    expect.arrayContaining([...expected, "core/mul-div.lua"]),
  );
});

test.each(twins)("$lua and $ts have the same functions in the same order", ({ lua, ts }) => {
  const only = ONLY[lua] ?? { ts: "", lua: "" };
  const inBoth = (all: readonly string[], onlyHere: string): readonly string[] => {
    const own = onlyHere.split(/\s+/).filter(Boolean);
    expect(all).toEqual(expect.arrayContaining(own));
    return all.filter((name) => !own.includes(name));
  };
  const inLua = functionsOfLua(readFileSync(sources + lua, "utf8"));
  const inTypeScript = functionsOfTypeScript(readFileSync(sources + ts, "utf8"));
  expect(inBoth(inLua, only.lua)).toEqual(inBoth(inTypeScript, only.ts));
});
