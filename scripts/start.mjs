// A first look for a fresh clone: the service with its dashboard, and a few callers that reach its limits. Arguments go to
// the command, as in `npm start -- --redis redis://127.0.0.1:6379`.
process.argv.splice(2, 0, "demo");
// In this process, so that Ctrl-C reaches the command alone.
await import(new URL("../packages/cli/dist/main.js", import.meta.url).href);
