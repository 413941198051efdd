#!/usr/bin/env node
/** The program `sluice`. */
import { readFileSync } from "node:fs";

const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
process.stdout.write(`${(JSON.parse(text) as { version: string }).version}\n`);
