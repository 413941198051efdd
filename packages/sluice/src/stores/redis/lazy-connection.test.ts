/** A connection that is opened by the first call: from which moment its wait counts against the server. */
import { expect, test } from "vitest";
import { settle } from "../../../test/support/watch.js";
import { Closing } from "../../core/closing.js";
import type { Submitted } from "../hand-over.js";
import type { OwnConnection } from "./clients/own-connection.js";
import { type Connector, LazyConnection } from "./lazy-connection.js";

interface Held extends Connector {
  readonly steps: string[];
  loaded(): void;
  opened(connection: OwnConnection): void;
}

/** A connector whose steps end when the test says so. */
function held(): Held {
  const [loading, loaded] = hold<void>();
  const [opening, opened] = hold<OwnConnection>();
  const steps: string[] = [];
  const load = (): Promise<void> => {
    steps.push("load");
    return loading;
  };
  const open = (): Promise<OwnConnection> => {
    steps.push("open");
    return opening;
  };
  return { steps, load, open, loaded, opened };
}

function hold<T>(): readonly [promise: Promise<T>, resolve: (value: T) => void] {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return [promise, resolve];
}

const nothing = (): void => {};
const connection = (): OwnConnection => ({ client: async () => [], close: async () => {} });

test("the package is loaded from the beginning, and only the first call connects", () => {
  const connector = held();
  const lazy = new LazyConnection(connector, new Closing("store"));
  expect(connector.steps).toEqual(["load"]);
  lazy.whenOpen({}, nothing, nothing);
  lazy.whenOpen({}, nothing, nothing);
  expect(connector.steps).toEqual(["load", "open"]);
});

test("while the package is loaded a call waits in this process, then for the server", async () => {
  const connector = held();
  const lazy = new LazyConnection(connector, new Closing("store"));
  const call: Submitted = {};
  const sent: Submitted[] = [];
  lazy.whenOpen(call, () => sent.push(call), nothing);
  await settle();
  expect(call.handOver).toBeUndefined();
  connector.loaded();
  await settle();
  expect(call.handOver).toMatchObject({ isAssumed: false });
  expect(sent).toEqual([]);
  connector.opened(connection());
  await settle();
  expect(sent).toEqual([call]);
});

test("a call that comes after that waits for the server at once", async () => {
  const connector = held();
  const lazy = new LazyConnection(connector, new Closing("store"));
  connector.loaded();
  await settle();
  const call: Submitted = {};
  lazy.whenOpen(call, nothing, nothing);
  expect(call.handOver).toBeDefined();
});

test("a call that was given up meanwhile is not sent", async () => {
  const connector = held();
  const lazy = new LazyConnection(connector, new Closing("store"));
  const call: Submitted = { abandoned: true };
  const ended: string[] = [];
  lazy.whenOpen(
    call,
    () => ended.push("sent"),
    ({ name }) => ended.push(name),
  );
  connector.loaded();
  connector.opened(connection());
  await settle();
  expect(ended).toHaveLength(1);
  expect(ended[0]).not.toBe("sent");
});
