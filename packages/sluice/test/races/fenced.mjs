// What a semaphore guards: a text in Redis that takes no write of a holder who came before the last one.
const WRITE = `
if ARGV[1] + 0 < (redis.call('HGET', KEYS[1], 'fence') or 0) + 0 then return 0 end
return redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'text', ARGV[2]) and 1`;

/**
 * @param {{ eval(script: string, options: { keys: string[], arguments: string[] }): Promise<unknown> }} client
 * @param {string} key
 * @param {bigint} fence
 * @param {string} text
 */
export async function writeFenced(client, key, fence, text) {
  const keys = [`document of ${key}`];
  return (await client.eval(WRITE, { keys, arguments: [String(fence), text] })) === 1;
}
