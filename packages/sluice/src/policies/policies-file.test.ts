/** Sets that follow a file: however it is changed, they have what is good of it, and keep what they have otherwise. */
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { RulesReloaded } from "../events/rule-events.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import { PoliciesFile } from "./policies-file.js";
import { PolicySet } from "./policy-set.js";
import type { PolicySetOptions } from "./policy-set-options.js";

const document = (limit: number, more: object = {}): string => {
  const policy = { algorithm: "token-bucket", limit, period: "1h" };
  return JSON.stringify({ ...more, rules: [{ name: "api", key: ["user"], policy }] });
};

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-policies-"));
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

interface Followed {
  readonly rules: PolicySet;
  readonly reloads: RulesReloaded[];
  readonly clock: ManualClock;
}

async function follow(path: string, options: Partial<PolicySetOptions> = {}): Promise<Followed> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const rules = await PolicySet.open({ store, source: new PoliciesFile({ path }), ...options });
  onTestFinished(() => rules.close());
  const reloads: RulesReloaded[] = [];
  rules.events.on("reload", (event) => reloads.push(event));
  return { rules, reloads, clock };
}

const limitOf = ({ rules }: Followed): unknown =>
  (rules.document.rules[0]?.policy as { limit: unknown } | undefined)?.limit;

test("a file that is replaced is followed, without a word to the set", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(1));
  const followed = await follow(path);
  expect(limitOf(followed)).toBe(1);
  writeFileSync(`${path}.new`, document(2));
  renameSync(`${path}.new`, path);
  await expect.poll(() => limitOf(followed)).toBe(2);
  writeFileSync(path, document(3));
  await expect.poll(() => limitOf(followed)).toBe(3);
  expect(followed.rules.status()).toMatchObject({ stale: undefined, reloads: { failed: 0 } });
});

test("YAML is read where the file's name says so", async () => {
  const path = join(folder(), "policies.yaml");
  writeFileSync(
    path,
    "rules:\n  - { name: api, policy: { algorithm: gcra, limit: 4, period: 1s } }\n",
  );
  expect(limitOf(await follow(path))).toBe(4);
});

test("a link that is put in the place of another is followed, as Kubernetes swaps a folder", async () => {
  const mount = folder();
  for (const [name, limit] of [
    ["..1", 1],
    ["..2", 2],
  ] as const) {
    mkdirSync(join(mount, name));
    const file = join(mount, name, "policies.json");
    writeFileSync(file, document(limit));
    // Equal in time and size: the link alone tells them apart.
    utimesSync(file, 1, 1);
  }
  symlinkSync("..1", join(mount, "..data"));
  const path = join(mount, "policies.json");
  symlinkSync(join("..data", "policies.json"), path);
  const followed = await follow(path);
  expect(limitOf(followed)).toBe(1);
  symlinkSync("..2", join(mount, "..data_tmp"));
  renameSync(join(mount, "..data_tmp"), join(mount, "..data"));
  await expect.poll(() => limitOf(followed)).toBe(2);
});

const line = (name: string): string =>
  `  - { name: ${name}, policy: { algorithm: gcra, limit: 4, period: 1s } }\n`;

test("YAML that is written in place is taken when it is whole, not when half of it is a document", async () => {
  const path = join(folder(), "policies.yaml");
  writeFileSync(path, `rules:\n${line("api")}`);
  const { rules, reloads } = await follow(path, { every: "1h" });
  writeFileSync(path, `rules:\n${line("api2")}`);
  // The rest comes while the set is at it: a timer that is due before whatever the set waits for.
  setTimeout(() => appendFileSync(path, line("login")), 5);
  await rules.reload();
  expect(rules.document.rules.map(({ name }) => name)).toEqual(["api2", "login"]);
  expect(reloads.map(({ outcome }) => outcome)).toEqual(["applied"]);
});

test("a file that is deleted and written again is taken when it is whole", async () => {
  const path = join(folder(), "policies.yaml");
  writeFileSync(path, `rules:\n${line("api")}`);
  const { rules, reloads } = await follow(path, { every: "1h" });
  // Another file, since the first one's number is taken.
  renameSync(path, `${path}.old`);
  writeFileSync(path, "");
  setTimeout(() => appendFileSync(path, `rules:\n${line("api2")}`), 5);
  setTimeout(() => appendFileSync(path, line("login")), 10);
  await rules.reload();
  expect(rules.document.rules.map(({ name }) => name)).toEqual(["api2", "login"]);
  expect(reloads.map(({ outcome }) => outcome)).toEqual(["applied"]);
});

test("half a file, and one that is invalid, change nothing, and are reported once", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(1, { version: 1 }));
  const followed = await follow(path, { every: "1h" });
  const { rules, reloads } = followed;
  writeFileSync(path, document(2, { version: 2 }).slice(0, 40));
  await rules.reload();
  await rules.reload();
  expect([rules.version, limitOf(followed)]).toEqual([1, 1]);
  expect(rules.status().stale).toContain(path);
  writeFileSync(path, document(2, { version: 2 }));
  await rules.reload();
  expect(rules.status()).toMatchObject({ version: 2, stale: undefined });
  expect(reloads.map(({ outcome }) => outcome)).toEqual(["invalid", "applied"]);
});

test("a file that is gone, or older, changes nothing", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(5, { version: 5 }));
  const followed = await follow(path, { every: "1h" });
  const { rules, reloads } = followed;
  writeFileSync(path, document(4, { version: 4 }));
  await rules.reload();
  expect(rules.status()).toMatchObject({ version: 5, reloads: { older: 1 } });
  unlinkSync(path);
  await rules.reload();
  expect(rules.status()).toMatchObject({ version: 5, reloads: { lost: 1 } });
  writeFileSync(path, document(6, { version: 6 }));
  await rules.reload();
  expect(rules.status()).toMatchObject({ version: 6, stale: undefined });
  expect(reloads.map(({ outcome }) => outcome)).toEqual(["older", "lost", "applied"]);
});

test("what was invalid and is as it was before is a recovery", async () => {
  const path = join(folder(), "policies.json");
  const good = document(1);
  writeFileSync(path, good);
  const { rules, reloads } = await follow(path, { every: "1h" });
  writeFileSync(path, "{");
  await rules.reload();
  writeFileSync(path, good);
  await rules.reload();
  expect(rules.status().stale).toBeUndefined();
  expect(reloads.map(({ outcome }) => outcome)).toEqual(["invalid", "applied"]);
});

test("an invalid file at the start is refused, with its line; a copy on disk starts instead", async () => {
  const directory = folder();
  const path = join(directory, "policies.json");
  const cacheFile = join(directory, "copy");
  writeFileSync(path, document(1, { version: 3 }));
  const first = await follow(path, { cacheFile });
  await expect.poll(async () => (await import("node:fs")).existsSync(cacheFile)).toBe(true);
  await first.rules.close();
  writeFileSync(path, '{\n "rules": 1\n}');
  await expect(follow(path)).rejects.toThrow(`${path}:2 rules: `);
  const { rules } = await follow(path, { cacheFile });
  expect(rules.status()).toMatchObject({ version: 3, reloads: { invalid: 1 } });
  expect(rules.status().stale).toContain(`${path}:2 rules: `);
});

test("a document with activeFrom is in force from then on, by the store's clock", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(1, { version: 1 }));
  const followed = await follow(path, { every: "1h" });
  const { rules, clock } = followed;
  clock.set(Date.parse("2030-01-01T00:00:00Z") * 1e3);
  writeFileSync(path, document(2, { version: 2, activeFrom: "2030-01-01T00:10:00Z" }));
  await rules.reload();
  const atUs = Date.parse("2030-01-01T00:10:00Z") * 1e3;
  expect(rules.status()).toMatchObject({ version: 1, scheduled: [{ version: 2, atUs }] });
  clock.set(atUs - 1);
  expect((await rules.consume({ entries: { user: "a" } })).version).toBe(1);
  clock.set(atUs);
  expect((await rules.consume({ entries: { user: "a" } })).version).toBe(2);
  expect(rules.status()).toMatchObject({ scheduled: [], reloads: { scheduled: 1, applied: 2 } });
});

test("a version that comes later and is in force earlier takes the place of what was scheduled", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(1, { version: 1 }));
  const { rules, clock } = await follow(path, { every: "1h" });
  clock.set(Date.parse("2030-01-01T00:00:00Z") * 1e3);
  const at = (minute: number): string => `2030-01-01T00:${minute}:00Z`;
  for (const [version, minute] of [
    [2, 10],
    [3, 30],
    [4, 20],
  ] as const) {
    writeFileSync(path, document(version, { version, activeFrom: at(minute) }));
    await rules.reload();
  }
  expect(rules.status().scheduled.map(({ version }) => version)).toEqual([2, 4]);
  writeFileSync(path, document(5, { version: 5 }));
  await rules.reload();
  expect(rules.status()).toMatchObject({ version: 5, scheduled: [] });
});

test("two sets may follow one file, each by itself", async () => {
  const path = join(folder(), "policies.json");
  writeFileSync(path, document(1));
  const source = new PoliciesFile({ path });
  const one = await follow(path, { source, every: "1h" });
  const other = await follow(path, { source, every: "1h" });
  writeFileSync(path, document(22));
  await one.rules.reload();
  await other.rules.reload();
  expect([limitOf(one), limitOf(other)]).toEqual([22, 22]);
});

test("what is to be followed is opened, not made", () => {
  const source = new PoliciesFile({ path: "policies.json" });
  expect(() => new PolicySet({ source })).toThrow(/^source: .*await PolicySet.open/);
  expect(() => new PolicySet({ source: { rules: [] }, cacheFile: "x" })).toThrow(/^cacheFile: /);
});
