/** The command line and the tests watch the permits of a semaphore through here; users cannot. */
import type { PermitGrant } from "./permit-grant.js";

/** Hears everything that the store says about a permit. */
export interface PermitObserver {
  granted?(grant: PermitGrant): void;
  renewed?(grant: PermitGrant, atUs: number, untilUs: number): void;
  releasing?(grant: PermitGrant): void;
  released?(grant: PermitGrant, atUs: number): void;
  lost?(grant: PermitGrant): void;
}

const observers = new WeakMap<object, PermitObserver>();
const NOBODY: PermitObserver = Object.freeze({});

/** Lets `observer` hear of all permits that `semaphore` grants from now on. */
export function observePermits(semaphore: object, observer: PermitObserver): void {
  observers.set(semaphore, observer);
}

export function observerOf(semaphore: object): PermitObserver {
  return observers.get(semaphore) ?? NOBODY;
}
