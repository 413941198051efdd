import { getEventListeners } from "node:events";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { checkSignal, onAbort } from "./abort.js";

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

describe("the option signal", () => {
  test("takes signals, of other realms too", () => {
    const { signal } = new AbortController();
    const foreign: unknown = runInNewContext(
      "({ aborted: false, addEventListener() {}, removeEventListener() {}, throwIfAborted() {} })",
    );
    for (const good of [
      undefined,
      signal,
      AbortSignal.abort(),
      AbortSignal.any([signal]),
      foreign,
    ]) {
      expect(() => {
        checkSignal("signal", good);
      }).not.toThrow();
    }
  });

  test.each<[string, unknown, string?]>([
    ["an AbortController", new AbortController(), "; pass controller.signal"],
    ["a promise", Promise.resolve(), "; forgot await?"],
    ["an EventTarget", new EventTarget()],
    ["an AbortSignal", AbortSignal.prototype],
    ["an AbortSignal", Object.create(AbortSignal.prototype)],
    ["an object", { aborted: false }],
    ["a function", () => {}],
    ["false", false],
    ["0", 0],
    ["an empty string", ""],
    ["null", null],
  ])("refuses %s", (shown, wrong, hint = "") => {
    expect(() => {
      checkSignal("signal", wrong);
    }).toThrow(`signal: ${shown} is not allowed; expected an AbortSignal${hint}`);
  });
});
