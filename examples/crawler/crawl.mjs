// Follows every link once, all at the same time: how many are under way is the business of `get`.

/** A crawler says who it is. */
export const AGENT = "sluice-crawler";

/**
 * @param {string} site
 * @param {typeof fetch} get
 */
export async function crawl(site, get) {
  const found = new Set([0]);
  /** @param {number} page */
  async function visit(page) {
    const response = await get(`${site}/${page}`, { headers: { "user-agent": AGENT } });
    if (!response.ok) throw new Error(`page ${page}: status ${response.status}`);
    const { links } = /** @type {{ links: number[] }} */ (await response.json());
    const fresh = links.filter((link) => !found.has(link));
    for (const link of fresh) found.add(link);
    await Promise.all(fresh.map(visit));
  }
  await visit(0);
  return found.size;
}
