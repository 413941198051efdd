/** A user's function instead of a client: it runs scripts, and loads them as it likes. */
import type { ClientAdapter, RunScript } from "./client.js";

export const rawFunction: ClientAdapter<RunScript> = {
  fits: (client): client is RunScript => typeof client === "function",
  runnerOf: (client) => (sha, source, keys, args, replied, failed) => {
    client(sha, source, keys, args).then(replied, failed);
  },
};
