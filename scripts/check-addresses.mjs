// Before a package is published: it names its source, its documentation, and where to report a fault. No public address is
// known in the repository, so a release fills them in, and npm publishes nothing without.
import { readFileSync } from "node:fs";
import { argv, exit, stderr } from "node:process";
import { fileURLToPath } from "node:url";

const NAMES = ["repository", "homepage", "bugs"];

/** @param {unknown} field @returns {string} the address of a field, which may be an object with it */
function addressIn(field) {
  const given = typeof field === "object" && field !== null && "url" in field ? field.url : field;
  return typeof given === "string" ? given.replace(/^git\+/, "") : "";
}

/**
 * The fields of a package.json that lead nowhere.
 * @param {Readonly<Record<string, unknown>>} manifest
 * @returns {readonly string[]}
 */
export function missingAddresses(manifest) {
  return NAMES.filter((name) => {
    const address = addressIn(manifest[name]);
    if (!URL.canParse(address)) return true;
    const { protocol, hostname } = new URL(address);
    return (
      protocol !== "https:" || !hostname.includes(".") || /(?:^|\.)example\.\w+$/.test(hostname)
    );
  });
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const manifest = /** @type {Record<string, unknown>} */ (
    JSON.parse(readFileSync("package.json", "utf8"))
  );
  const missing = missingAddresses(manifest);
  if (missing.length > 0) {
    stderr.write(
      `not published: package.json needs public https addresses in ${missing.join(", ")}\n`,
    );
    exit(1);
  }
}
