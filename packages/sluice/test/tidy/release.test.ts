/** What is packed: every entry of package.json is there, nothing runs at installation, and the API's diff sees a change. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { missingAddresses } from "../../../../scripts/check-addresses.mjs";
import { surfaceDiff, surfaceLines } from "../../../../scripts/api-surface.mjs";
import { Sources } from "../../../../scripts/public-surface.mjs";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

interface Manifest {
  readonly files?: readonly string[];
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly scripts?: Readonly<Record<string, string>>;
}

/** Pages that are copied from the repository's root just before packing. */
const COPIED = new Set(["CHANGELOG.md", "SECURITY.md", "README.md", "LICENSE", "docs"]);

/** Entries of a package.json for which there is no file, or no source to build it from. */
function absentEntries(
  folder: string,
  { files = [], bin = {}, exports = {} }: Manifest,
): readonly string[] {
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  const isThere = (entry: string): boolean => {
    if (entry === "dist") return existsSync(join(root, folder, "src"));
    const source = entry.replace(/^(?:\.\/)?dist\//, "src/").replace(/(?:\.d\.ts|\.js)$/, ".ts");
    const isBuilt = /^(?:\.\/)?dist\//.test(entry);
    return existsSync(
      COPIED.has(entry) ? join(root, entry) : join(root, folder, isBuilt ? source : entry),
    );
  };
  return [...files, ...Object.values(bin), ...targets].filter((entry) => !isThere(entry));
}

/** What npm would run where the package is installed. */
const atInstallation = ({ scripts = {} }: Manifest): readonly string[] =>
  Object.keys(scripts).filter((name) =>
    /^(?:pre|post)?(?:install|prepare)$|^preprepare$|^uninstall$/.test(name),
  );

test.each(["packages/sluice", "packages/cli"])(
  "%s has all that it lists, and runs nothing when installed",
  (folder) => {
    const manifest = JSON.parse(
      readFileSync(join(root, folder, "package.json"), "utf8"),
    ) as Manifest;
    expect(absentEntries(folder, manifest)).toEqual([]);
    expect(atInstallation(manifest)).toEqual([]);
  },
);

test.each<[Manifest]>([
  [{ files: ["dits"] }],
  [{ bin: { sluice: "bin/sluce.mjs" } }],
  [{ exports: { "./a": { types: "./dist/index.d.ts", default: "./dist/a.js" } } }],
  [{ exports: { "./a": { types: "./dist/a.d.ts", default: "./dist/index.js" } } }],
  [{ exports: { "./a.json": "./a.json" } }],
])("an entry that does not exist is seen in %j", (manifest) => {
  expect(absentEntries("packages/sluice", manifest)).toHaveLength(1);
});

test("a script that runs at installation is seen", () => {
  const scripts = {
    build: "",
    preinstall: "",
    install: "",
    postinstall: "",
    prepare: "",
    prepack: "",
  };
  expect(atInstallation({ scripts })).toEqual(["preinstall", "install", "postinstall", "prepare"]);
});

test.each(["packages/sluice", "packages/cli"])(
  "npm publishes %s with public addresses alone",
  (folder) => {
    const path = join(root, folder, "package.json");
    const { scripts } = JSON.parse(readFileSync(path, "utf8")) as Manifest;
    expect(scripts?.["prepublishOnly"]).toBe("node ../../scripts/check-addresses.mjs");
  },
);

test("packages that declare a newer Node than ours are named in CONTRIBUTING.md", () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly engines?: { readonly node?: string } }>>;
  };
  const page = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  const isNewer = (node = ""): boolean =>
    node.split("||").every((range) => Number(/>=?\s*(\d+)/.exec(range)?.[1]) > 20);
  const newer = Object.entries(packages).flatMap(([path, { engines }]) =>
    isNewer(engines?.node) ? [path.replace(/^.*\//, "")] : [],
  );
  expect(newer.length).toBeGreaterThan(0);
  expect(newer.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

test("an address that is missing, of another kind or an example is seen", () => {
  const good = {
    repository: { type: "git", url: "git+https://code.sluice.dev/sluice.git" },
    homepage: "https://sluice.dev/",
    bugs: { url: "https://code.sluice.dev/sluice/issues" },
  };
  expect(missingAddresses(good)).toEqual([]);
  expect(missingAddresses({})).toEqual(["repository", "homepage", "bugs"]);
  for (const wrong of [
    "",
    "sluice.dev",
    "http://sluice.dev/",
    "https://localhost/",
    "https://example.org/",
  ]) {
    expect(missingAddresses({ ...good, homepage: wrong })).toEqual(["homepage"]);
    expect(missingAddresses({ ...good, bugs: { url: wrong } })).toEqual(["bugs"]);
  }
});

test("the diff of the API shows what is new, changed and gone, and no code or comment", () => {
  const lines = (text: string): readonly string[] =>
    surfaceLines(new Sources(() => text), { sluice: "index.ts" });
  const before = lines(
    "export interface A { b: 1; c?: 2 }\nexport function d(e: 3): void { e(); }",
  );
  const after = lines(
    "/** A. */ export interface A { b: 4; /** c */ c?: 2 }\nexport function d(e: 3): void { f(); }\nexport const g: 5 = h();",
  );
  expect(surfaceDiff(before, after)).toEqual([
    "- sluice A.b: b: 1;",
    "+ sluice A.b: b: 4;",
    "+ sluice g: const g: 5 = ;",
  ]);
});
