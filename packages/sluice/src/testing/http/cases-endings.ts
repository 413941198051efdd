/** How a request ends is reported once: what it cost after all is known then, and its permits go to the next. */
import assert from "node:assert/strict";
import { whenSettled } from "../../core/clock.js";
import { fixedWindow } from "../../algorithms/fixed-window/policy.js";
import type { Charge } from "../../http/charge.js";
import { hasLeft, type HttpCase, isProblem, quota } from "./http-case.js";
import { eventually, Happening, inTime } from "./patience.js";
import { settledAs, Outcomes, type Site, type Stage } from "./stage.js";

const byStatus: readonly HttpCase[] = [
  {
    name: "settles by the status of the answer",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const { all, settle } = new Outcomes(({ status }) => (status === 401 ? 1 : 0));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", settle }) });
      assert.equal((await site.get("/")).status, 200);
      await hasLeft(limiter, "k", 5);
      assert.equal((await site.get("/unauthorized")).status, 401);
      await eventually(() => assert.equal(all.length, 2));
      await hasLeft(limiter, "k", 4);
    },
  },
  {
    name: "settles at more than was taken",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const { settle } = new Outcomes(() => 3);
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", settle }) });
      await site.get("/");
      await hasLeft(limiter, "k", 2);
    },
  },
  ...Object.entries({ "/": 200, "/unauthorized": 401, "/teapot": 418, "/boom": 500 }).map(
    ([path, status]) => settledOnce(path, status),
  ),
  settledOnce("/stream", 200),
  { ...settledOnce("/missing", 404), needs: "notFound" },
  {
    name: "tells what a handler threw",
    needs: "errors",
    run: async (stage) => {
      const { error, ...outcome } = (await settledAs(stage, "/boom")) ?? {};
      assert.deepEqual(outcome, { status: 500, aborted: false });
      assert.ok(error instanceof Error, "an outcome has the error that was thrown");
      assert.equal(error.message, "boom");
    },
  },
  {
    name: "tells of no error where there was none",
    run: async (stage) => {
      assert.deepEqual(await settledAs(stage, "/unauthorized"), { status: 401, aborted: false });
    },
  },
  {
    name: "goes on where settle throws or rejects",
    run: async (stage) => {
      const errors: unknown[] = [];
      const hooks = { onError: ({ error }: { readonly error: unknown }) => errors.push(error) };
      const limiter = await stage.limiter(quota(5), { hooks });
      const failures = [
        () => {
          throw new Error("thrown");
        },
        () => Promise.reject(new Error("rejected")),
      ];
      const left = [...failures];
      const site = await stage.serve({
        charge: () => ({ limiter, key: "k", settle: left.shift() ?? (() => 1) }),
      });
      for (const _ of failures) assert.equal((await site.get("/")).status, 200);
      await eventually(() => assert.equal(errors.length, failures.length));
      assert.equal((await site.get("/")).status, 200);
    },
  },
];

function settledOnce(path: string, status: number): HttpCase {
  return {
    name: `settles a request for ${path} once, with the status ${status}`,
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const { all, settle } = new Outcomes();
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", settle }) });
      const connection = await site.connect();
      connection.send({ path });
      assert.equal((await connection.answer()).status, status);
      await eventually(() => assert.deepEqual(all, [{ ...all[0], status, aborted: false }]));
      connection.leave();
      // What ends afterwards is the connection, not the request.
      await site.get("/");
      await eventually(() => assert.equal(all.length, 2));
      await whenSettled();
      assert.equal(all.length, 2);
    },
  };
}

/** Leaves in the midst of a request, as soon as it is charged, or once a part of the answer has come. */
async function leave(stage: Stage, path: "/slow" | "/stream"): Promise<void> {
  const limiter = await stage.limiter(quota(100));
  const { all, settle } = new Outcomes(({ aborted }) => (aborted ? 7 : 0));
  let charged = new Happening();
  const site = await stage.serve({
    charge: () => {
      charged.has();
      return { limiter, key: "k", settle };
    },
  });
  await inTime("no client that left was reported as such", async () => {
    charged = new Happening();
    all.length = 0;
    const connection = await site.connect();
    connection.send({ path });
    await charged.wait("a charge");
    if (path === "/stream") await connection.until("first");
    connection.leave();
    await eventually(() => assert.equal(all.length, 1));
    return all[0]?.aborted === true;
  });
  await hasLeft(limiter, "k", 93);
  await site.get("/");
  await eventually(() => assert.equal(all.length, 2));
  assert.equal(all[1]?.aborted, false);
}

const clientsThatLeave: readonly HttpCase[] = [
  {
    name: "settles once, as aborted, where the client leaves before the answer",
    needs: "aborts",
    run: (stage) => leave(stage, "/slow"),
  },
  {
    name: "settles once, as aborted, where the client leaves in the midst of the answer",
    needs: "aborts",
    run: (stage) => leave(stage, "/stream"),
  },
  {
    name: "settles where the client leaves while its limits are asked",
    needs: "aborts",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const { all, settle } = new Outcomes(({ aborted }) => (aborted ? 3 : 0));
      const asked = new Happening<boolean>();
      const site = await stage.serve({
        charge: async (_raw, call) => {
          const gone = call.gone?.();
          asked.has(gone !== undefined);
          await whenAborted(gone);
          return { limiter, key: "k", settle };
        },
      });
      const connection = await site.connect();
      connection.send({ path: "/slow" });
      assert.ok(await asked.wait("a charge"), "gone() must say when the client leaves");
      connection.leave();
      await eventually(() => assert.equal(all.length, 1));
      assert.equal(all[0]?.aborted, true);
      await hasLeft(limiter, "k", 2);
    },
  },
  {
    name: "leaves the line with a client that waits in it",
    needs: "aborts",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const semaphore = await stage.semaphore("slots", 1);
      const permit = await semaphore.acquire("k");
      stage.atEnd(() => permit.release());
      const site = await stage.serve({
        charge: () => [
          { limiter, key: "k" },
          { limiter: semaphore, key: "k", maxWait: "1h" },
        ],
      });
      const connection = await site.connect();
      connection.send({ path: "/" });
      await hasLeft(limiter, "k", 4);
      connection.leave();
      // What it took before it stood in line comes back.
      await hasLeft(limiter, "k", 5);
      await permit.release();
      assert.equal((await site.get("/")).status, 200);
    },
  },
];

async function whenAborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined || signal.aborted) return;
  await new Promise((resolve) => {
    signal.addEventListener("abort", resolve, { once: true });
  });
}

const permits: readonly HttpCase[] = [
  {
    name: "holds a permit as long as the request runs, and gives it back then",
    run: async (stage) => {
      const semaphore = await stage.semaphore("slots", 1);
      const site = await stage.serve({ charge: () => ({ limiter: semaphore, key: "k" }) });
      await inTime("no request was quick enough to find the permit taken", async () => {
        const connection = await site.connect();
        connection.send({ path: "/stream" });
        await connection.until("first");
        const answer = await site.get("/");
        if (answer.status === 200) {
          assert.ok(connection.has("last"), "a permit was given twice");
          await whenFree(site);
          return false;
        }
        isProblem(answer, 429, "quota-exceeded");
        await connection.answer();
        await whenFree(site);
        return true;
      });
    },
  },
  {
    name: "gives a permit back when the client leaves in the midst of the answer",
    needs: "aborts",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(100));
      const semaphore = await stage.semaphore("slots", 1);
      const { all, settle } = new Outcomes();
      const site = await stage.serve({
        charge: () => [
          { limiter, key: "k", settle },
          { limiter: semaphore, key: "k" },
        ],
      });
      await inTime("no permit was free again before the answer was complete", async () => {
        all.length = 0;
        const connection = await site.connect();
        connection.send({ path: "/stream" });
        await connection.until("first");
        connection.leave();
        await whenFree(site);
        return all[0]?.aborted === true;
      });
    },
  },
];

/** Waits until a request finds a permit. */
async function whenFree(site: Site): Promise<void> {
  await eventually(async () => assert.equal((await site.get("/")).status, 200));
}

const waiting: readonly HttpCase[] = [
  {
    name: "has a request wait in line in place of a denial",
    run: async (stage) => {
      const policy = fixedWindow({ name: "quota", limit: 1, window: "400ms", align: "first" });
      const limiter = await stage.limiter(policy);
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", maxWait: "10m" }) });
      for (let i = 0; i < 3; i++) assert.equal((await site.get("/")).status, 200);
    },
  },
  {
    name: "has a request wait for a permit",
    run: async (stage) => {
      const semaphore = await stage.semaphore("slots", 1);
      const permit = await semaphore.acquire("k");
      stage.atEnd(() => permit.release());
      const asked = new Happening();
      const site = await stage.serve({
        charge: () => {
          asked.has();
          return { limiter: semaphore, key: "k", maxWait: "10m" };
        },
      });
      const answer = site.get("/");
      await asked.wait("a charge");
      await permit.release();
      assert.equal((await answer).status, 200);
    },
  },
  {
    name: "refuses at once who would have to wait for too long, or too many who wait",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const charge = (): Charge => ({ limiter, key: "k", maxWait: "1s" });
      const site = await stage.serve({ charge });
      await site.get("/");
      const tooLong = await site.get("/");
      isProblem(tooLong, 429, "quota-exceeded");
      const full = await stage.serve({
        charge: () => ({ ...charge(), maxWait: "2h" }),
        maxWaiting: 0,
      });
      isProblem(await full.get("/"), 429, "quota-exceeded");
    },
  },
];

export const endingCases: readonly HttpCase[] = [
  ...byStatus,
  ...clientsThatLeave,
  ...permits,
  ...waiting,
];
