import { getEventListeners } from "node:events";
import { expect, test, vi } from "vitest";
import { onAbort } from "./abort.js";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

test("however many wait on a signal, it has one listener, and none when they are done", () => {
  const { signal } = new AbortController();
  const ends = Array.from({ length: 20 }, () => onAbort(signal, vi.fn()));
  expect(listeners(signal)).toBe(1);
  for (const end of ends) end();
  expect(listeners(signal)).toBe(0);
  onAbort(signal, vi.fn())();
  expect(listeners(signal)).toBe(0);
});

test("all who wait are told once, in order, but for those who ended before or meanwhile", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const told: string[] = [];
  const ends: (() => void)[] = [];
  for (const name of ["first", "left", "second", "ended by the first"]) {
    ends.push(
      onAbort(signal, () => {
        told.push(name);
        if (name === "first") ends[3]?.();
      }),
    );
  }
  ends[1]?.();
  controller.abort();
  expect(told).toEqual(["first", "second"]);
  for (const end of ends) end();
  expect(listeners(signal)).toBe(0);
});

test("one that ends late does not end the wait of those who came after", () => {
  const controller = new AbortController();
  const later = vi.fn();
  const end = onAbort(controller.signal, vi.fn());
  end();
  onAbort(controller.signal, later);
  end();
  controller.abort();
  expect(later).toHaveBeenCalledOnce();
});
