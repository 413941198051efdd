/** What is kept of a request at the call, so that nothing that happens to it later changes what is sent. */
import { runInNewContext } from "node:vm";
import { FormData as FormDataOfUndici } from "undici";
import { describe, expect, test } from "vitest";
import { isReplayable, snapshotOfDispatch, snapshotOfFetch } from "./snapshot.js";

const URL_A = "http://a.invalid/?p=1";
const inOtherRealm = (source: string): unknown => runInNewContext(source);

/** What the second of two tries sends. */
function second(input: Parameters<typeof fetch>[0], init?: object): Request {
  const snapshot = snapshotOfFetch(input, init);
  const first = new Request(...snapshot.argumentsOfTry());
  expect(first.url).toBe(URL_A);
  return new Request(...snapshot.argumentsOfTry());
}

describe("headers arrive in every try, and at the key, in whatever shape they are given", () => {
  const pairs = [
    ["authorization", "x"],
    ["x-n", "1"],
  ] as const;
  const once = function* () {
    for (const pair of pairs) yield [...pair];
  };

  test.each<[string, () => unknown]>([
    ["Headers", () => new Headers(pairs.map((pair) => [...pair]))],
    ["an array of pairs", () => pairs],
    ["a record", () => ({ authorization: "x", "x-n": 1 })],
    [
      "a record without a prototype",
      () => Object.assign(Object.create(null) as object, { authorization: "x", "x-n": 1 }),
    ],
    ["a Map", () => new Map(pairs)],
    ["the entries of a Map", () => new Map(pairs).entries()],
    ["the entries of Headers", () => new Headers(pairs.map((pair) => [...pair])).entries()],
    ["a generator", once],
    ["iterators for pairs", () => pairs.map((pair) => new Set(pair))],
    ["a Map of another realm", () => inOtherRealm(`new Map([["authorization", "x"], ["x-n", 1]])`)],
    ["pairs of another realm", () => inOtherRealm(`[["authorization", "x"], ["x-n", "1"]]`)],
    ["a record of another realm", () => inOtherRealm(`({ authorization: "x", "x-n": 1 })`)],
    [
      "something that iterates like Headers",
      () => ({ get: () => "wrong", [Symbol.iterator]: once }),
    ],
  ])("%s", (_, headers) => {
    const { request } = snapshotOfFetch(URL_A, { headers: headers() } as RequestInit);
    expect([...request.headers]).toEqual(pairs);
    expect([...second(URL_A, { headers: headers() }).headers]).toEqual(pairs);
    const asked = new Request(URL_A, { headers: { "x-old": "1" } });
    expect([...second(asked, { headers: headers() }).headers]).toEqual(pairs);
  });

  test("values with the same name all count", () => {
    const headers = new Map([["a", ["1"]]]);
    expect(
      second(URL_A, {
        headers: [
          ["a", "1"],
          ["a", "2"],
        ],
      }).headers.get("a"),
    ).toBe("1, 2");
    expect(second(URL_A, { headers: { a: ["1", "2"] } }).headers.get("a")).toBe("1,2");
    expect(second(URL_A, { headers }).headers.get("a")).toBe("1");
  });

  test.each<[string, unknown]>([
    ["text", "authorization: x"],
    ["pairs that are text", ["ab"]],
    ["pairs of three", [["a", "b", "c"]]],
    ["a name with a space", { "a b": "c" }],
    ["a value that is a symbol", { a: Symbol("a") }],
  ])("%s is refused as fetch refuses it", (_, headers) => {
    expect(() => snapshotOfFetch(URL_A, { headers } as RequestInit)).toThrow(TypeError);
  });
});

describe("what the caller changes after the call is not sent", () => {
  test("the URL, the headers, the method", () => {
    const url = new URL(URL_A);
    const headers = { a: "1" };
    const init: RequestInit = { method: "PUT", headers };
    const snapshot = snapshotOfFetch(url, init);
    url.searchParams.set("p", "2");
    headers.a = "2";
    init.method = "DELETE";
    for (const _ of [1, 2]) {
      const sent = new Request(...snapshot.argumentsOfTry());
      expect([sent.url, sent.method, sent.headers.get("a")]).toEqual([URL_A, "PUT", "1"]);
    }
    expect(snapshot.request).toMatchObject({ method: "PUT" });
    expect(snapshot.request.url.href).toBe(URL_A);
  });

  test("a Request, which is used up as fetch uses it up", async () => {
    const asked = new Request(URL_A, { method: "POST", headers: { a: "1" }, body: "b" });
    const snapshot = snapshotOfFetch(asked, undefined);
    asked.headers.set("a", "2");
    expect(asked.bodyUsed).toBe(true);
    const sent = new Request(...snapshot.argumentsOfTry());
    expect([sent.headers.get("a"), await sent.text()]).toEqual(["1", "b"]);
    expect(snapshot.isReplayable).toBe(false);
    expect(() => snapshotOfFetch(asked, undefined)).toThrow(TypeError);
  });

  test("what a try does to its arguments", () => {
    const snapshot = snapshotOfFetch(new URL(URL_A), { headers: [["a", "1"]] });
    const [url, init] = snapshot.argumentsOfTry();
    (url as URL).search = "";
    (init as { headers: [string, string][] }).headers.push(["a", "2"]);
    expect([...second(URL_A, init).headers]).toEqual([["a", "1, 2"]]);
    const [again, next] = snapshot.argumentsOfTry();
    expect([(again as URL).href, next?.headers]).toEqual([URL_A, [["a", "1"]]]);
    const request = snapshotOfFetch(new Request(URL_A, { headers: { a: "1" } }), {});
    (request.argumentsOfTry()[0] as Request).headers.set("a", "2");
    expect((request.argumentsOfTry()[0] as Request).headers.get("a")).toBe("1");
  });

  const bytes = (): Uint8Array => new TextEncoder().encode("before");
  test.each<[string, () => [body: object, change: () => void]]>([
    [
      "bytes",
      () => {
        const body = bytes();
        return [body, () => body.fill(0)];
      },
    ],
    [
      "a part of a buffer",
      () => {
        const { buffer } = new TextEncoder().encode("<before>");
        return [new DataView(buffer, 1, 6), () => new Uint8Array(buffer).fill(0)];
      },
    ],
    [
      "an ArrayBuffer",
      () => {
        const { buffer } = bytes();
        return [buffer, () => new Uint8Array(buffer).fill(0)];
      },
    ],
    [
      "bytes of another realm",
      () => {
        const body = inOtherRealm(`new Uint8Array([98, 101, 102, 111, 114, 101])`) as Uint8Array;
        return [body, () => body.fill(0)];
      },
    ],
    [
      "an ArrayBuffer of another realm",
      () => {
        const body = inOtherRealm(
          `new Uint8Array([98, 101, 102, 111, 114, 101]).buffer`,
        ) as ArrayBuffer;
        return [body, () => new Uint8Array(body).fill(0)];
      },
    ],
    [
      "URLSearchParams",
      () => {
        const body = new URLSearchParams("before=");
        return [body, () => body.set("after", "")];
      },
    ],
  ])("%s", async (_name, make) => {
    const [body, change] = make();
    const snapshot = snapshotOfFetch(URL_A, { method: "POST", body } as RequestInit);
    const dispatched = snapshotOfDispatch({ path: "/", method: "POST", body });
    change();
    expect(snapshot.isReplayable).toBe(true);
    for (const _ of [1, 2]) {
      expect(await new Request(...snapshot.argumentsOfTry()).text()).toMatch(/^before=?$/);
    }
    expect(await new Response(dispatched.body as string).text()).toMatch(/^before=?$/);
  });

  test("a form, which stays one of its class", async () => {
    const file = new File(["bytes"], "name.txt", { type: "text/plain" });
    for (const Form of [FormData, FormDataOfUndici as unknown as typeof FormData]) {
      const form = new Form();
      form.append("a", "1");
      form.append("a", "2");
      form.append("f", file);
      const [, init] = snapshotOfFetch(URL_A, { method: "POST", body: form }).argumentsOfTry();
      form.delete("a");
      const sent = init?.body as FormData;
      expect(sent).toBeInstanceOf(Form);
      expect(sent.getAll("a")).toEqual(["1", "2"]);
      expect((sent.get("f") as File).name).toBe("name.txt");
    }
  });

  test("a request through undici", () => {
    const options = {
      origin: new URL("http://a.invalid"),
      path: "/1",
      method: "GET",
      headers: { a: ["1"] },
      query: { p: 1 },
    };
    const fixed = snapshotOfDispatch(options);
    options.origin.host = "b.invalid";
    options.path = "/2";
    options.headers.a.push("2");
    options.query.p = 2;
    expect(fixed).toMatchObject({ path: "/1", headers: { a: ["1"] }, query: { p: 1 } });
    expect(String(fixed.origin)).toBe("http://a.invalid/");
  });
});

describe("undici's headers", () => {
  const headersOf = (headers: unknown): unknown =>
    snapshotOfDispatch({ path: "/", method: "GET", headers }).headers;

  test.each<[string, unknown, unknown]>([
    ["names and values in turn", ["a", "1", "b", ["2", "3"]], ["a", "1", "b", ["2", "3"]]],
    ["a record", { a: "1", b: ["2", "3"], c: undefined }, { a: "1", b: ["2", "3"], c: undefined }],
    ["the entries of a Map", new Map([["a", "1"]]).entries(), ["a", "1"]],
    ["Headers", new Headers({ a: "1", b: "2" }), ["a", "1", "b", "2"]],
    ["null", null, null],
  ])("%s", (_, headers, fixed) => {
    expect(headersOf(headers)).toEqual(fixed);
  });
});

test("what undici and others read of the options is kept, own or inherited", () => {
  const dispatcher = { dispatch: () => true };
  const init = Object.assign(Object.create({ method: "PUT", dispatcher }) as object, {
    next: { tags: [] },
  });
  const [, sent] = snapshotOfFetch(URL_A, init as RequestInit).argumentsOfTry();
  expect(sent).toMatchObject({ method: "PUT", dispatcher, next: { tags: [] } });
  const both: object = { method: "PUT", dispatcher };
  const [, beside] = snapshotOfFetch(new Request(URL_A), both).argumentsOfTry();
  expect(beside).toEqual({ dispatcher });
  expect(snapshotOfFetch(new Request(URL_A), undefined).argumentsOfTry()[1]).toBeUndefined();
  expect(second(URL_A, new Request(URL_A, { method: "PUT", headers: { a: "1" } })).method).toBe(
    "PUT",
  );
});

test("a Request of another class is copied by that class", () => {
  class Mine extends Request {}
  const [copy] = snapshotOfFetch(new Mine(URL_A), undefined).argumentsOfTry();
  expect((copy as Request).url).toBe(URL_A);
  const address = { toString: () => URL_A } as unknown as string;
  expect(snapshotOfFetch(address, undefined).argumentsOfTry()).toEqual([URL_A, undefined]);
});

/** As of the package form-data: a stream with the name of a form. */
class StreamWithFormName {
  readonly [Symbol.toStringTag] = "FormData";
  pipe(): void {}
}

test.each<[string, unknown, boolean]>([
  ["nothing", undefined, true],
  ["null", null, true],
  ["a string", "x", true],
  ["bytes", Buffer.from("x"), true],
  ["a buffer", new ArrayBuffer(1), true],
  ["a Blob", new Blob(["x"]), true],
  ["FormData", new FormData(), true],
  ["URLSearchParams", new URLSearchParams(), true],
  ["a number", 5, true],
  ["FormData of undici", new FormDataOfUndici(), true],
  ["a stream that calls itself a form", new StreamWithFormName(), false],
  ["an object", {}, false],
  ["a function", () => {}, false],
  ["a ReadableStream", new ReadableStream(), false],
  ["an iterator", [Buffer.from("x")].values(), false],
  ["an async iterator", (async function* () {})(), false],
])("%s as a body can be sent again: %s", (_, body, expected) => {
  expect(isReplayable(body)).toBe(expected);
});
