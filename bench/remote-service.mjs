/** A decision service in a separate process. Argument: its settings as JSON. Ends with SIGTERM. */
const built = new URL("../packages/cli/dist/serve/run-service.js", import.meta.url);
const { runService } = /** @type {typeof import("../packages/cli/src/serve/run-service.js")} */ (
  await import(built.href)
);
const end = new AbortController();
process.on("SIGTERM", () => end.abort());
const flags = /** @type {Parameters<typeof runService>[0]} */ (JSON.parse(process.argv[2] ?? "{}"));
await runService(flags, {
  env: {},
  write: (line) => process.stdout.write(`${line.trimEnd()}\n`),
  ended: end.signal,
});
