/** Overrides, and sets of rules, on a real Cluster: what lies in other slots is asked at once and given back, hints stay in a slot. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { RateLimiter, tokenBucket } from "../../src/index.js";
import { PolicySet, PublishedPolicies, type PoliciesDocument } from "../../src/policies/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { slotOf, tagOfId } from "../../src/stores/redis/slot.js";
import { keyId } from "../../src/audit/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { clusterClientNames, clusterClients } from "../support/cluster-clients.js";
import { eventually } from "../support/eventually.js";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

const bucket = (limit: number) => ({ algorithm: "token-bucket", limit, period: "365d" }) as const;

const document: PoliciesDocument = {
  rules: [
    { name: "user", key: ["user"], policy: bucket(100) },
    { name: "org", key: ["org"], policy: bucket(3), candidate: { policy: bucket(1) } },
    { name: "all", policy: bucket(100), mode: "shadow" },
  ],
};

const nodeOf = (identity: string): number =>
  cluster.masterOf(slotOf(tagOfId(keyId(identity)))).port;

/** A user and an organisation whose keys are on different nodes. */
function apart(): { readonly user: string; readonly org: string } {
  for (let i = 0; ; i++) {
    const [user, org] = [`u${i}`, "acme"];
    if (nodeOf(`user=${user}`) !== nodeOf(`org=${org}`)) return { user, org };
  }
}

describe.each(clusterClientNames)("on a Cluster through %s", (name) => {
  const storeOf = async (): Promise<RedisStore> => {
    const connected = await clusterClients[name](cluster);
    const store = new RedisStore({ client: connected.client });
    onTestFinished(async () => {
      await store.close();
      await connected.close();
    });
    return store;
  };
  const setOn = async (): Promise<PolicySet> => {
    const store = await storeOf();
    const options = { store, namespace: `rules.${randomUUID()}`, timeout: "30s" } as const;
    const rules = new PolicySet({ ...options, source: document, denyCache: false });
    onTestFinished(() => rules.close());
    return rules;
  };
  const left = async (rules: PolicySet, request: Parameters<PolicySet["peek"]>[0]) =>
    (await rules.peek(request)).rules.map(({ decision }) => decision.remaining);

  test("rules of one request in several slots are asked each by itself, and given back where one denies", async () => {
    const rules = await setOn();
    const request = { entries: apart() };
    for (let i = 0; i < 3; i++) {
      expect(await rules.consume(request)).toMatchObject({ allowed: true, atomic: false });
    }
    const denied = await rules.consume(request);
    expect(denied).toMatchObject({ allowed: false, atomic: false, rule: "org" });
    // What the user's rule took beside the denial is back; a shadow is charged whatever the others say.
    expect(await left(rules, request)).toEqual([97, 0, 96]);
    const free = { entries: { ...request.entries, org: "other" } };
    const took = await rules.consume(free);
    expect(took.allowed).toBe(true);
    await rules.refund(took);
    expect(await left(rules, free)).toEqual([97, 3, 96]);
  });

  test("all of them at once: no more pass than the least has, and nobody pays for a denial", async () => {
    const rules = await setOn();
    const request = { entries: apart() };
    const decisions = await Promise.all(Array.from({ length: 20 }, () => rules.consume(request)));
    const passed = decisions.filter(({ allowed }) => allowed).length;
    // Each asks for itself, so one may hold what another is about to be refused for; never more than there is.
    expect(passed).toBe(3);
    expect(await left(rules, request)).toEqual([97, 0, 80]);
  });

  test("a slot puts the keys side by side: all or nothing in one call", async () => {
    const rules = await setOn();
    const request = { entries: apart(), slot: "acme" };
    for (let i = 0; i < 3; i++) {
      expect(await rules.consume(request)).toMatchObject({ allowed: true, atomic: true });
    }
    expect(await rules.consume(request)).toMatchObject({ allowed: false, atomic: true });
    expect(await left(rules, request)).toEqual([97, 0, 96]);
  });

  test("overrides are known to another process and a removal by whom", async () => {
    const namespace = `overrides.${randomUUID()}`;
    const limiterOn = async (): Promise<RateLimiter<RedisStore>> => {
      const store = await storeOf();
      const policy = tokenBucket({ name: "api", limit: 5, period: "365d" });
      const limiter = new RateLimiter({
        store,
        namespace,
        policy,
        overrides: true,
        timeout: "30s",
      });
      onTestFinished(() => limiter.close());
      return limiter;
    };
    const [one, other] = [await limiterOn(), await limiterOn()];
    await other.consume("k");
    const heard: unknown[] = [];
    other.events.on("override", ({ change, by }) => heard.push([change, by]));
    let hints = 0;
    other.store.overrides.watch(namespace, () => {
      hints += 1;
    });
    await eventually(() => expect(hints).toBe(1));
    await one.override("k", "deny", { by: "ana" });
    await eventually(() => expect(hints).toBe(2));
    await eventually(async () => expect((await other.consume("k")).reason).toBe("blocked"));
    await one.override("k", undefined, { by: "ben" });
    await eventually(async () => expect((await other.consume("k")).reason).toBe("ok"));
    expect(heard).toEqual([
      ["set", "ana"],
      ["removed", "ben"],
    ]);
  });

  test("a published document is followed", async () => {
    const store = await storeOf();
    const published = new PublishedPolicies({ store, name: `edge.${randomUUID()}` });
    await published.publish(document, { expected: 0 });
    const rules = await PolicySet.open({ source: published, store, timeout: "30s" });
    onTestFinished(() => rules.close());
    await published.publish({ ...document, mode: "shadow" }, { expected: 1 });
    await eventually(() => expect(rules.version).toBe(2));
  });
});
