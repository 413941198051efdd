/** The examples of Envoy's own service, imported, give over gRPC the decisions that its documentation states. */
import { importEnvoy, loadYaml } from "sluice/policies";
import { describe, expect, test } from "vitest";
import { ENVOY_DEMO } from "../../../../sluice/test/support/envoy-demo.js";
import { type Answer, RlsClient, startGrpc } from "../../support/grpc.js";

type Pairs = readonly (readonly [key: string, value: string])[];

async function clientOf(config: string): Promise<(...all: readonly Pairs[]) => Promise<Answer>> {
  const { document } = importEnvoy(config, { yaml: await loadYaml() });
  const { address } = await startGrpc(document);
  const client = new RlsClient(address);
  const domain = /^domain: (\S+)/m.exec(config)?.[1];
  return async (...all) => {
    const descriptors = all.map((pairs) => ({
      entries: pairs.map(([key, value]) => ({ key, value })),
    }));
    return (await client.ask({ domain, descriptors })).answer as Answer;
  };
}

/** How many of `calls` pass. */
async function passing(ask: () => Promise<Answer>, calls: number): Promise<number> {
  let passed = 0;
  for (let i = 0; i < calls; i++) passed += Number((await ask()).overallCode === "OK");
  return passed;
}

describe("the configuration of its docker-compose example", () => {
  const config = ENVOY_DEMO;

  test.each<readonly [Pairs, number]>([
    [[["foo", "f"]], 2],
    [
      [
        ["source_cluster", "proxy"],
        ["destination_cluster", "mock"],
      ],
      1,
    ],
    [
      [
        ["source_cluster", "proxy"],
        ["destination_cluster", "other"],
      ],
      10,
    ],
    [[["source_cluster", "proxy"]], 10],
    [
      [
        ["foo", "f"],
        ["bar", "b"],
      ],
      3,
    ],
    [
      [
        ["foo", "f"],
        ["bar", "banned"],
      ],
      0,
    ],
    [
      [
        ["foo", "f"],
        ["baz", "not-so-shady"],
      ],
      1,
    ],
    [
      [
        ["foo", "f"],
        ["baz", "shady"],
      ],
      10,
    ],
    [
      [
        ["foo", "f"],
        ["bay", "b"],
      ],
      10,
    ],
    [[["qux", "q"]], 10],
    [[["nothing", "n"]], 10],
  ])("of ten calls with %j pass %i", async (pairs, passed) => {
    const ask = await clientOf(config);
    expect(await passing(() => ask(pairs), 10)).toBe(passed);
  });

  test("unlimited is OK with as much left as 32 bits hold", async () => {
    const ask = await clientOf(config);
    const [status] = (await ask([["qux", "q"]])).statuses;
    expect(status).toMatchObject({ code: "OK", currentLimit: null, limitRemaining: 4_294_967_295 });
  });
});

describe("the examples of its README", () => {
  test("2: five marketing messages a day to a number, and a hundred of all kinds", async () => {
    const ask = await clientOf(`domain: messaging
descriptors:
  - key: message_type
    value: marketing
    descriptors:
      - { key: to_number, rate_limit: { unit: day, requests_per_unit: 5 } }
  - { key: to_number, rate_limit: { unit: day, requests_per_unit: 100 } }
`);
    const marketing = (number: string): Pairs => [
      ["message_type", "marketing"],
      ["to_number", number],
    ];
    const number: Pairs = [["to_number", "2061111111"]];
    const both = () => ask(marketing("2061111111"), number);
    expect(await passing(both, 8)).toBe(5);
    const { overallCode, statuses } = await both();
    expect([overallCode, statuses.map(({ code }) => code)]).toEqual([
      "OVER_LIMIT",
      ["OVER_LIMIT", "OK"],
    ]);
    // Those that were denied were not charged to the number either.
    expect(statuses[1]?.limitRemaining).toBe(95);
    expect(await passing(() => ask(marketing("2062222222")), 8)).toBe(5);
    expect(await passing(() => ask(number), 120)).toBe(95);
  });

  test("3: an address of its own limit is limited by that one alone", async () => {
    const ask = await clientOf(`domain: edge_proxy_per_ip
descriptors:
  - { key: remote_address, rate_limit: { unit: second, requests_per_unit: 10 } }
  - { key: remote_address, value: 50.0.0.5, rate_limit: { unit: second, requests_per_unit: 0 } }
`);
    expect(await passing(() => ask([["remote_address", "50.0.0.1"]]), 12)).toBe(10);
    expect(await passing(() => ask([["remote_address", "50.0.0.5"]]), 12)).toBe(0);
    expect(await passing(() => ask([["remote_address", "50.0.0.2"]]), 12)).toBe(10);
  });

  test("4: only a descriptor of the same depth matches", async () => {
    const pairs: Pairs = [
      ["key", "value"],
      ["subkey", "subvalue"],
    ];
    const rate = "rate_limit: { unit: second, requests_per_unit: 3 }";
    const flat = await clientOf(`domain: example4
descriptors: [{ key: key, value: value, ${rate} }]
`);
    expect((await flat(pairs)).statuses[0]?.currentLimit).toBeNull();
    const nested = await clientOf(`domain: example4
descriptors: [{ key: key, value: value, descriptors: [{ key: subkey, ${rate} }] }]
`);
    expect(await passing(() => nested(pairs), 5)).toBe(3);
  });

  test("6: a user in shadow mode is not limited, and another is", async () => {
    const ask = await clientOf(`domain: example6
descriptors:
  - key: service
    descriptors:
      - { key: user, value: user-a, rate_limit: { unit: second, requests_per_unit: 10 }, shadow_mode: true }
      - { key: user, value: user-b, rate_limit: { unit: second, requests_per_unit: 20 } }
`);
    const of = (user: string) =>
      ask([
        ["service", "auth-service"],
        ["user", user],
      ]);
    expect(await passing(() => of("user-a"), 25)).toBe(25);
    expect(await passing(() => of("user-b"), 25)).toBe(20);
  });

  test("9: a star in a value, each value by itself", async () => {
    const ask = await clientOf(`domain: example9
descriptors: [{ key: key1, value: "value*", rate_limit: { unit: minute, requests_per_unit: 2 } }]
`);
    expect(await passing(() => ask([["key1", "value_1"]]), 4)).toBe(2);
    expect(await passing(() => ask([["key1", "value_2"]]), 4)).toBe(2);
    expect(await passing(() => ask([["key1", "other"]]), 4)).toBe(4);
  });

  test("a key that is nested in itself is limited as Envoy does", async () => {
    const ask = await clientOf(`domain: twice
descriptors:
  - key: header
    value: a
    descriptors: [{ key: header, rate_limit: { unit: minute, requests_per_unit: 1 } }]
`);
    const pairs: Pairs = [
      ["header", "a"],
      ["header", "b"],
    ];
    expect(await passing(() => ask(pairs), 3)).toBe(1);
    expect(await passing(() => ask([["header", "a"]]), 3)).toBe(3);
  });
});
