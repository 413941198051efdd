/** What shows that an adapter has the weakness that it declares: one that is gone must not stay declared. */
import assert from "node:assert/strict";
import { quota, saysNothing } from "./http-case.js";
import { eventually, Happening } from "./patience.js";
import { settledAs, Outcomes, type Stage } from "./stage.js";
import type { Weakness } from "./subject.js";

/** Throws if the adapter does not have the weakness. */
export type Proof = (stage: Stage) => Promise<void>;

export const proofs: Readonly<Record<Weakness, Proof>> = {
  notFound: (stage) => isNotCharged(stage, "GET", "/missing"),
  head: (stage) => isNotCharged(stage, "HEAD", "/"),
  options: (stage) => isNotCharged(stage, "OPTIONS", "/"),
  charset: async (stage) => {
    const limiter = await stage.limiter(quota(1));
    const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
    await site.get("/");
    const answer = await site.get("/");
    assert.match(answer.field("content-type") ?? "", /^application\/problem\+json; ?charset=/);
  },
  errors: async (stage) => {
    const outcome = await settledAs(stage, "/boom");
    assert.deepEqual(outcome, { status: 500, aborted: false });
  },
  fieldsOnThrow: async (stage) => {
    const limiter = await stage.limiter(quota(2));
    const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
    const answer = await site.get("/boom");
    assert.equal(answer.status, 500);
    saysNothing(answer);
    assert.equal((await limiter.peek("k")).remaining, 1);
  },
  aborts: async (stage) => {
    const limiter = await stage.limiter(quota(2));
    const { all, settle } = new Outcomes();
    const charged = new Happening();
    const site = await stage.serve({
      charge: () => {
        charged.has();
        return { limiter, key: "k", settle };
      },
    });
    const connection = await site.connect();
    connection.send({ path: "/slow" });
    await charged.wait("a charge");
    connection.leave();
    await eventually(() => assert.equal(all.length, 1));
    assert.equal(all[0]?.aborted, false);
  },
  pipelining: async (stage) => {
    const limiter = await stage.limiter(quota(2));
    const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
    const connection = await site.connect();
    connection.send({ path: "/" }, { path: "/" });
    await assert.rejects(async () => {
      for (let i = 0; i < 2; i++) assert.equal((await connection.answer()).status, 200);
    });
  },
};

async function isNotCharged(stage: Stage, method: string, path: string): Promise<void> {
  const limiter = await stage.limiter(quota(1));
  const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
  const answer = await site.ask({ path, method });
  saysNothing(answer);
  assert.equal((await limiter.peek("k")).remaining, 1);
}
