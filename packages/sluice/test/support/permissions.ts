/** The permissions that the documentation asks for, as servers of different ages know them. */
import { readFileSync } from "node:fs";
import type { Redis } from "ioredis";

/** A line of the documentation as it would be typed, by how it begins. */
export function documented(beginning: string, page = "docs/redis.md"): readonly string[] {
  const lines = readFileSync(page, "utf8").split("\n");
  return lines.find((line) => line.startsWith(`ACL SETUSER ${beginning}`))?.split(" ") ?? [];
}

export const granted = (line: readonly string[]): readonly string[] =>
  line.filter((word) => word.startsWith("+"));

/** What the documentation asks for beside all else where clients tell the server their names: since Redis 7.2. */
export async function grantedToNewer(admin: Redis): Promise<readonly string[]> {
  const [command] = (await admin.call("COMMAND", "INFO", "client|setinfo")) as unknown[];
  return command === null ? [] : granted(documented("limiter +client|setinfo"));
}

/** Since which version a server knows each command that Sluice runs, by the commands' own pages. */
export const KNOWN_SINCE: Readonly<Record<string, string>> = {
  del: "1.0",
  eval: "2.6",
  evalsha: "2.6",
  exists: "1.0",
  hdel: "2.0",
  hget: "2.0",
  hgetall: "2.0",
  hset: "2.0",
  mget: "1.0",
  pexpireat: "2.6",
  publish: "2.0",
  set: "1.0",
  setrange: "2.2",
  subscribe: "2.0",
  time: "2.6",
  unsubscribe: "2.0",
  zadd: "1.2",
  zrange: "1.2",
  zrem: "1.2",
  zscore: "1.2",
};
