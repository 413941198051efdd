/** The checker of histories is worth something only if it refuses some. */
import { describe, expect, test } from "vitest";
import { type Interval, linearize, type Model } from "./linearize.js";

/** A register that adds: what it is told, and what it says it holds after that. */
interface Added extends Interval {
  readonly add: number;
  readonly said: number;
}

class Register implements Model<Added, number> {
  asked = 0;
  #held = 0;

  async admits({ add, said }: Added): Promise<boolean> {
    this.asked += 1;
    this.#held += add;
    return this.#held === said;
  }

  save(): number {
    return this.#held;
  }

  restore(held: number): void {
    this.#held = held;
  }

  describe(held: number): string {
    return String(held);
  }
}

/** A call by a client of its own over the moments from `begin` to `end`. */
const call = (begin: number, end: number, add: number, said: number): Added => ({
  begin,
  end,
  client: begin,
  add,
  said,
});

const explains = async (history: readonly Added[]): Promise<boolean> =>
  (await linearize(history, new Register())).found;

describe("a history", () => {
  test("of nothing is explained", async () => {
    expect(await explains([])).toBe(true);
  });

  test("one after another is explained, and not with two answers swapped", async () => {
    expect(await explains([call(0, 1, 1, 1), call(2, 3, 1, 2), call(4, 5, 1, 3)])).toBe(true);
    expect(await explains([call(0, 1, 1, 2), call(2, 3, 1, 1), call(4, 5, 1, 3)])).toBe(false);
  });

  test("with answers in another order is explained where the calls overlap", async () => {
    expect(await explains([call(0, 2, 1, 2), call(1, 3, 1, 1), call(4, 5, 0, 2)])).toBe(true);
  });

  test("with a lost update is refused, overlapping or not", async () => {
    expect(await explains([call(0, 2, 1, 1), call(1, 3, 1, 1)])).toBe(false);
    expect(await explains([call(0, 2, 1, 1), call(1, 3, 1, 2), call(4, 5, 0, 1)])).toBe(false);
  });

  test("with a stale answer is refused unless the change was still under way", async () => {
    expect(await explains([call(0, 1, 1, 1), call(2, 3, 0, 0)])).toBe(false);
    expect(await explains([call(0, 2, 1, 1), call(1, 3, 0, 0)])).toBe(true);
  });

  test("that nobody saw the middle of is refused where it does not add up", async () => {
    expect(await explains([call(0, 3, 5, 8), call(1, 4, 3, 8), call(2, 5, 1, 1)])).toBe(false);
    expect(await explains([call(0, 3, 5, 6), call(1, 4, 3, 9), call(2, 5, 1, 1)])).toBe(true);
  });

  test("keeps the order of calls that one client made without waiting", async () => {
    const together = [call(0, 2, 1, 2), call(1, 3, 1, 1)];
    expect(await explains(together.map((each) => ({ ...each, client: 7 })))).toBe(false);
  });

  test("keeps the order of what one client called on one key without waiting, and of no more", async () => {
    const apart = (keys: readonly string[][]): Promise<boolean> =>
      explains(
        [call(0, 2, 1, 2), call(1, 3, 1, 1)].map((each, i) => ({
          ...each,
          client: 7,
          keys: keys[i],
        })),
      );
    expect(await apart([["a"], ["b"]])).toBe(true);
    expect(await apart([["a"], ["b", "a"]])).toBe(false);
  });

  test("keeps the order of the clock that decided", async () => {
    const [first, second] = [call(0, 2, 1, 2), call(1, 3, 1, 1)];
    expect(
      await explains([
        { ...first, atUs: 5 },
        { ...second, atUs: 5 },
      ]),
    ).toBe(true);
    expect(
      await explains([
        { ...first, atUs: 6 },
        { ...second, atUs: 5 },
      ]),
    ).toBe(true);
    expect(
      await explains([
        { ...first, atUs: 5 },
        { ...second, atUs: 6 },
      ]),
    ).toBe(false);
  });
});

test("what is refused tells the most that an order explains", async () => {
  const good = [call(0, 1, 1, 1), call(2, 3, 1, 2)];
  const { found, order } = await linearize([...good, call(4, 5, 1, 2)], new Register());
  expect(found).toBe(false);
  expect(order).toEqual(good);
});

test("calls that all overlap are refused without trying every order of them", async () => {
  const reads = Array.from({ length: 11 }, (_, i) => call(i, 100 + i, 0, 0));
  const register = new Register();
  expect((await linearize([...reads, call(11, 111, 1, 3)], register)).found).toBe(false);
  // Eleven reads have 39,916,800 orders and 2,048 subsets, each with at most twelve calls to try.
  expect(register.asked).toBeLessThan(12 * 2048);
});

/** Remembers when it was last written, on a clock that stands until somebody tells a time. */
class Stamp {
  #nowUs = 0;
  #writtenAtUs = 0;

  async admits({ atUs, says }: Interval & { readonly says?: number }): Promise<boolean> {
    this.#nowUs = atUs ?? this.#nowUs;
    if (says !== undefined) return says === this.#writtenAtUs;
    this.#writtenAtUs = this.#nowUs;
    return true;
  }

  save(): readonly number[] {
    return [this.#nowUs, this.#writtenAtUs];
  }

  restore([nowUs = 0, writtenAtUs = 0]: readonly number[]): void {
    this.#nowUs = nowUs;
    this.#writtenAtUs = writtenAtUs;
  }

  describe(state: readonly number[]): string {
    return state.join();
  }
}

test("a call whose time nobody was told may have the time of a later one", async () => {
  const early = { begin: 0, end: 1, client: 0, atUs: 3, says: 0 };
  const untold = { begin: 2, end: 3, client: 1, isUntold: true };
  const late = { begin: 4, end: 5, client: 0, atUs: 5 };
  const explained = async (says: number): Promise<boolean> =>
    (await linearize([early, untold, { ...late, says }], new Stamp())).found;
  expect(await explained(3)).toBe(true);
  expect(await explained(5)).toBe(true);
  expect(await explained(4)).toBe(false);
});
