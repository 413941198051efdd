/** Whether a waiter is woken or has to ask, beside one that always has to. No clock decides: machines differ. */
import { expect } from "vitest";
import type { Semaphore } from "../../src/index.js";
import { eventually } from "./eventually.js";

export interface Asking {
  /** When script calls were sent, on performance.now(). */
  readonly atMs: readonly number[];
}

/** Notes the script calls through a client of ioredis or node-redis. */
export function noteAsks(client: object): Asking {
  const atMs: number[] = [];
  const known = client as Record<string, ((...args: unknown[]) => unknown) | undefined>;
  for (const name of ["eval", "evalsha", "evalSha"]) {
    const method = known[name];
    if (method === undefined) continue;
    known[name] = (...args) => {
      atMs.push(performance.now());
      return method.apply(client, args);
    };
  }
  return { atMs };
}

/** A semaphore of limit 1 through a client whose calls are noted. */
export interface Watched {
  readonly semaphore: Semaphore;
  readonly asking: Asking;
}

export interface HandOff {
  /** How often the waiter asked before there was a place, while the other asked `ASKS` times. */
  readonly asked: number;
  /** What the hand-off took, as a part of the time in which the other would have asked again. */
  readonly share: number;
}

const ASKS = 7;

/** `spectator` looks at the same keys as `watched`, without being counted. */
export async function handOff(
  watched: Watched,
  spectator: Semaphore,
  control: Watched,
): Promise<HandOff> {
  const { semaphore, asking } = watched;
  const held = await semaphore.acquire("k");
  const controlHeld = await control.semaphore.acquire("k");
  const waiting = semaphore.acquire("k");
  waiting.catch(() => {});
  await eventually(async () => expect(await spectator.inspect("k")).toMatchObject({ waiting: 1 }));
  const controlWaiting = control.semaphore.acquire("k");
  controlWaiting.catch(() => {});
  const [before, controlBefore] = [asking.atMs.length, control.asking.atMs.length];
  const times = (): readonly number[] => control.asking.atMs.slice(controlBefore);
  await eventually(() => expect(times().length).toBeGreaterThanOrEqual(ASKS));
  const asked = asking.atMs.length - before;
  const [lastButOne = 0, last = 0] = times().slice(-2);
  const beganMs = performance.now();
  await held.release();
  const next = await waiting;
  const share = (performance.now() - beganMs) / (last - lastButOne);
  await next.release();
  await controlHeld.release();
  await (await controlWaiting).release();
  return { asked, share };
}

/** Begins to be notified, and from then on is: hardly asks, and is faster than one who has to. */
export async function expectWoken(round: () => Promise<HandOff>): Promise<void> {
  await eventually(async () => expect((await round()).asked).toBeLessThan(ASKS / 2));
  // A busy machine delays hand-offs, but not always; one who has to ask is late again and again.
  await eventually(async () => {
    const rounds: HandOff[] = [];
    for (let i = 0; i < 5; i++) rounds.push(await round());
    // Where each line has a channel of its own it asks until that is heard, and once more; and places are renewed.
    expect(median(rounds.map(({ asked }) => asked))).toBeLessThan(ASKS / 2);
    expect(median(rounds.map(({ share }) => share))).toBeLessThan(0.25);
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Begins to ask, like one who is never notified. */
export async function expectAsking(round: () => Promise<HandOff>): Promise<void> {
  await eventually(async () => expect((await round()).asked).toBeGreaterThanOrEqual(ASKS / 2));
}
