/** The Redis clients that contenders run through, with their default options. */

/**
 * @typedef {{ kind: "ioredis", raw: import("ioredis").Redis } | { kind: "redis", raw: NodeRedis }} Client
 */
/** @typedef {Awaited<ReturnType<typeof nodeRedis>>} NodeRedis */
/** @typedef {Client["kind"]} ClientKind */

/** @type {readonly ClientKind[]} */
export const CLIENTS = ["ioredis", "redis"];

/**
 * @param {ClientKind} kind
 * @param {string} url
 * @returns {Promise<Client & { close(): Promise<unknown> }>}
 */
export async function openClient(kind, url) {
  if (kind === "ioredis") {
    const { Redis } = await import("ioredis");
    const raw = new Redis(url, { lazyConnect: true });
    await raw.connect();
    return { kind, raw, close: () => raw.quit() };
  }
  const raw = await nodeRedis(url);
  return { kind, raw, close: () => raw.close() };
}

/** @param {string} url */
async function nodeRedis(url) {
  const { createClient } = await import("redis");
  const client = createClient({ url });
  await client.connect();
  return client;
}
