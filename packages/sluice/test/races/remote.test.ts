/** Processes that ask one service in memory keep one bound, by the proof from their logs. */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { auditLogs } from "../../src/audit/index.js";
import { MemoryStore } from "../../src/index.js";
import { buildPackage } from "../support/built.js";
import { startNode } from "../support/processes.js";
import { STORE_TOKEN, startStoreService } from "../support/store-service.js";

const WORKER = fileURLToPath(new URL("remote-worker.mjs", import.meta.url));
const CALLS = 3000;

test("two processes behind a service keep one bound", async () => {
  const built = await buildPackage([]);
  onTestFinished(() => {
    built.remove();
  });
  const service = await startStoreService();
  onTestFinished(() => service.close());
  const url = service.mount(new MemoryStore());
  const files = [1, 2].map((i) => join(built.directory, `attempts-${i}.jsonl`));
  const dist = join(built.directory, "dist");
  const ends = await Promise.all(
    files.map((file) => startNode([WORKER, dist, url, STORE_TOKEN, file, String(CALLS)]).ended),
  );
  expect(ends.map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ""],
    [0, ""],
  ]);
  const made = ends.map(({ stdout }) => Number(stdout));
  expect(Math.min(...made)).toBeGreaterThanOrEqual(CALLS);
  const [one = 0, other = 0] = made;
  const open = (file: string) => (): Readable => createReadStream(file);
  const audited = await auditLogs(files.map((name) => ({ name, open: open(name) })));
  expect(audited).toMatchObject({
    of: "attempts",
    report: { passed: true, sessions: 2, incomplete: 0, lost: 0, tally: { records: one + other } },
  });
});
