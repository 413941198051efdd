import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { SemaphoreModel } from "../../../test/semaphore/model.js";
import { Player, traces } from "../../../test/semaphore/traces.js";
import { runs } from "../../../test/support/runs.js";
import {
  executeSemaphore,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreVerb,
  type Notification,
} from "./kernel.js";
import { freshState, type SemaphoreState } from "./state.js";

const START_US = 1_800_000_000_000_000;
const TERMS = { leaseUs: 10e6, claimUs: 2e6, waitUs: 5e6 };

/** A semaphore of one state with its own clock. */
class Bench {
  readonly state: SemaphoreState = freshState();
  readonly notifications: Notification[] = [];
  nowUs = START_US;
  limit = 2;

  do(
    verb: SemaphoreVerb,
    ...entries: readonly (readonly [id: string, number: number])[]
  ): SemaphoreAnswer {
    const command = {
      verb,
      limit: this.limit,
      terms: TERMS,
      channel: "here",
      entries: entries.map(([id, number]) => ({ id, number })),
    };
    return executeSemaphore(this.state, command, this.nowUs, this.notifications);
  }

  acquire(id: string, weight = 1): { outcome: number; number: number; untilUs: number } {
    return this.do(SEMAPHORE_VERBS.acquire, [id, weight]).entries[0] as never;
  }

  release(id: string, fence = 0): number | undefined {
    return this.do(SEMAPHORE_VERBS.release, [id, fence]).entries[0]?.outcome;
  }

  renew(id: string, fence = 0): { outcome: number; number: number; untilUs: number } {
    return this.do(SEMAPHORE_VERBS.renew, [id, fence]).entries[0] as never;
  }
}

test("does on any trace what two plain lists do", () => {
  fc.assert(
    fc.property(traces(), (steps) => {
      const state = freshState();
      const model = new SemaphoreModel();
      const player = new Player(START_US);
      for (const step of steps) {
        const command = player.commandOf(step);
        const answer = executeSemaphore(state, command, player.nowUs, []);
        expect(answer).toEqual(model.execute(command, player.nowUs));
        player.learn(command, answer);
      }
    }),
    { numRuns: runs(2000) },
  );
});

test("never holds more than the limit, unless it was lowered, and gives ever higher fences in the order of the line", () => {
  fc.assert(
    fc.property(traces(), (steps) => {
      const state = freshState();
      const player = new Player(START_US);
      const fences = new Map<string, number>();
      let lastFence = 0;
      let lastLimit = 0;
      for (const step of steps) {
        const command = player.commandOf(step);
        const before = [...state.queue]
          .map(({ id }) => ({ id, weight: state.members.get(id)?.weight ?? 0 }))
          .filter(({ id }) => state.waits.score(id) > player.nowUs);
        const heldBefore = state.held;
        const answer = executeSemaphore(state, command, player.nowUs, []);
        player.learn(command, answer);
        expect(answer.held).toBeLessThanOrEqual(Math.max(answer.limit, heldBefore));
        expect([...state.members.values()].filter(({ fence }) => fence > 0).length).toBe(
          state.holders.size,
        );
        const granted = [...state.holders]
          .map(({ id }) => ({ id, fence: state.members.get(id)?.fence ?? 0 }))
          .filter(({ id, fence }) => fences.get(id) !== fence)
          .sort((a, b) => a.fence - b.fence);
        for (const { id, fence } of granted) {
          expect(fence).toBeGreaterThan(lastFence);
          lastFence = fence;
          fences.set(id, fence);
        }
        // Those who were in line, and could ever fit, hold in its order, and before any who were not.
        const line = before.filter(({ weight }) => weight <= answer.limit).map(({ id }) => id);
        const places = granted.map(({ id }) => (line.includes(id) ? line.indexOf(id) : 1e9));
        expect(places).toEqual([...places].sort((a, b) => a - b));
        lastLimit = answer.limit;
      }
      expect(lastLimit).toBeGreaterThan(0);
    }),
    { numRuns: runs(2000) },
  );
});

describe("a permit", () => {
  it("is given at once where there is room and nobody waits", () => {
    const bench = new Bench();
    expect(bench.acquire("a.1")).toEqual({
      outcome: OUTCOME.held,
      number: START_US,
      untilUs: START_US + TERMS.leaseUs,
    });
    expect(bench.acquire("a.2")).toMatchObject({ outcome: OUTCOME.held, number: START_US + 1 });
    expect(bench.acquire("a.3")).toMatchObject({ outcome: OUTCOME.waiting, number: START_US + 2 });
  });

  it("is found again by a command that is sent again", () => {
    const bench = new Bench();
    const first = bench.acquire("a.1");
    expect(bench.acquire("a.1")).toEqual(first);
    bench.acquire("a.2");
    const waiting = bench.acquire("a.3");
    expect(bench.acquire("a.3")).toEqual(waiting);
    expect(bench.state.held).toBe(2);
    expect(bench.state.queue.size).toBe(1);
  });

  it("goes to the head of the line with its release, as a claim that must be confirmed", () => {
    const bench = new Bench();
    const { number: fence } = bench.acquire("a.1", 2);
    bench.acquire("b.1");
    bench.acquire("b.2");
    bench.nowUs += 1000;
    expect(bench.release("a.1", fence)).toBe(OUTCOME.released);
    expect(bench.notifications.map(({ id }) => id)).toEqual(["b.1", "b.2"]);
    expect(bench.state.holders.score("b.1")).toBe(bench.nowUs + TERMS.claimUs);

    const confirmed = bench.renew("b.1");
    expect(confirmed).toMatchObject({
      outcome: OUTCOME.held,
      untilUs: bench.nowUs + TERMS.leaseUs,
    });
    expect(confirmed.number).toBeGreaterThan(fence);
    bench.nowUs += TERMS.claimUs;
    expect(bench.renew("b.2")).toMatchObject({ outcome: OUTCOME.gone });
    expect(bench.state.held).toBe(1);
  });

  it("is not given to a light one behind a heavy one that does not fit", () => {
    const bench = new Bench();
    bench.acquire("a.1");
    expect(bench.acquire("b.1", 2)).toMatchObject({ outcome: OUTCOME.waiting });
    expect(bench.acquire("c.1", 1)).toMatchObject({ outcome: OUTCOME.waiting });
    expect(bench.do(SEMAPHORE_VERBS.tryAcquire, ["d.1", 1]).entries[0]?.outcome).toBe(OUTCOME.busy);
    bench.release("b.1");
    expect(bench.renew("c.1")).toMatchObject({ outcome: OUTCOME.held });
  });

  it("is passed on by a dead waiter when its claim ends", () => {
    const bench = new Bench();
    bench.limit = 1;
    const { number: fence } = bench.acquire("a.1");
    bench.acquire("dead.1");
    bench.nowUs += 4e6;
    bench.acquire("b.1");
    bench.release("a.1", fence);
    expect(bench.notifications.map(({ id }) => id)).toEqual(["dead.1"]);
    bench.nowUs += TERMS.claimUs - 1;
    expect(bench.renew("b.1")).toMatchObject({ outcome: OUTCOME.waiting });
    bench.nowUs += 1;
    expect(bench.renew("b.1")).toMatchObject({ outcome: OUTCOME.held });
  });

  it("is lost at the end of the lease to the microsecond, and then an old fence changes nothing", () => {
    const bench = new Bench();
    bench.limit = 1;
    const { number: fence, untilUs } = bench.acquire("a.1");
    bench.nowUs = untilUs - 1;
    expect(bench.acquire("b.1")).toMatchObject({ outcome: OUTCOME.waiting });
    bench.nowUs = untilUs;
    const next = bench.renew("b.1");
    expect(next).toMatchObject({ outcome: OUTCOME.held });
    expect(bench.renew("a.1", fence)).toMatchObject({ outcome: OUTCOME.gone });
    expect(bench.release("a.1", fence)).toBe(OUTCOME.gone);
    expect(bench.release("b.1", fence)).toBe(OUTCOME.gone);
    expect(bench.state.held).toBe(1);
    expect(bench.release("b.1", next.number)).toBe(OUTCOME.released);
  });
});

describe("the limit", () => {
  it("is the call's until one is stored, and stays with the key", () => {
    const bench = new Bench();
    bench.limit = 1;
    bench.do(SEMAPHORE_VERBS.setLimit);
    bench.limit = 5;
    expect(bench.do(SEMAPHORE_VERBS.inspect).limit).toBe(1);
    bench.nowUs += 360 * 86_400e6;
    expect(bench.do(SEMAPHORE_VERBS.inspect).limit).toBe(1);
    bench.nowUs = bench.state.expiryMs * 1e3;
    expect(bench.do(SEMAPHORE_VERBS.inspect).limit).toBe(5);
  });

  it("revokes nothing when it is lowered, and turns away those who can never fit", () => {
    const bench = new Bench();
    bench.acquire("a.1", 2);
    bench.acquire("b.1", 2);
    bench.acquire("c.1", 1);
    bench.limit = 1;
    const { held, limit, waiting } = bench.do(SEMAPHORE_VERBS.setLimit);
    expect({ held, limit, waiting }).toEqual({ held: 2, limit: 1, waiting: 1 });
    expect(bench.notifications).toMatchObject([{ channel: "here", id: "b.1", fence: 0 }]);
    expect(bench.renew("b.1")).toMatchObject({ outcome: OUTCOME.gone });
    expect(bench.acquire("b.1", 2)).toEqual({ outcome: OUTCOME.tooHeavy, number: 1, untilUs: 0 });
    bench.release("a.1");
    expect(bench.renew("c.1")).toMatchObject({ outcome: OUTCOME.held });
  });

  it("lets many in at once when it is raised, a hundred with a call", () => {
    const bench = new Bench();
    bench.limit = 1;
    for (let i = 0; i <= 250; i++) bench.acquire(`a.${i}`);
    bench.limit = 1000;
    const held: number[] = [];
    for (let i = 0; i < 3; i++) {
      const { held: now, nextUs } = bench.do(SEMAPHORE_VERBS.inspect);
      held.push(now);
      expect(nextUs === 0).toBe(i < 2);
    }
    expect(held).toEqual([101, 201, 251]);
  });
});

test("what is forgotten is remembered for a day past the last lease", () => {
  const bench = new Bench();
  bench.do(SEMAPHORE_VERBS.inspect);
  expect(bench.state.expiryMs).toBe(0);
  bench.acquire("a.1");
  const neededMs = (START_US + TERMS.leaseUs + 86_400e6) / 1e3;
  expect(bench.state.expiryMs).toBeGreaterThanOrEqual(neededMs);
  expect(bench.state.expiryMs).toBeLessThanOrEqual(neededMs + 3600e3);
});
