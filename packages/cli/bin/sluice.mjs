#!/usr/bin/env node
// What npm links as `sluice`: it is there before the build is, which npm ci makes last.
await import("../dist/main.js");
