/** Who a client is, by what its connection and the proxies before it say. */
import { describe, expect, test } from "vitest";
import { callWith } from "../../test/support/gates.js";
import { InvalidOptionError } from "../core/errors.js";
import { addressKey, clientAddress } from "./address.js";

describe("the key of an address", () => {
  test.each([
    // IPv4, in all ways in which it comes.
    ["192.0.2.7", "192.0.2.7"],
    ["192.0.2.7:4711", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:0207", "192.0.2.7"],
    ["0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7"],
    ["[::ffff:192.0.2.7]:443", "192.0.2.7"],
    ["::ffff:192.0.2.7%eth0", "192.0.2.7"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    // IPv6 by its /64, written as RFC 5952 has it.
    ["2001:db8::1", "2001:db8::/64"],
    ["2001:0DB8:0000:0000:1:2:3:4", "2001:db8::/64"],
    ["2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"],
    ["[2001:db8::1]", "2001:db8::/64"],
    ["[2001:db8::1]:443", "2001:db8::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["[fe80::1%25eth0]:80", "fe80::/64"],
    ["::1", "::/64"],
    ["::", "::/64"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4::/64"],
    ["1::", "1::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b::/64"],
  ])("%s is %s", (address, key) => {
    expect(addressKey(address)).toBe(key);
  });

  test.each([
    "",
    " ",
    "unknown",
    "_hidden",
    "localhost",
    "192.0.2",
    "192.0.2.7.8",
    "192.0.2.256",
    "192.0.2.07",
    "192.0.2.-7",
    "1e1.0.0.1",
    "0x7f.0.0.1",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "12345::",
    "g::",
    "1.2.3.4::",
    "1.2.3.4::5",
    "::1.2.3.4:5",
    "[2001:db8::1",
    "[2001:db8::1]x",
    "192.0.2.7 ",
    "/run/server.sock",
    `${"1".repeat(200)}::`,
  ])("that is none is itself: %j", (address) => {
    expect(addressKey(address)).toBe(address);
  });

  test.each([
    ["2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6/128"],
    ["2001:db8:0:0:1:0:0:1", 128, "2001:db8::1:0:0:1/128"],
    ["2001:0:0:1:0:0:0:1", 128, "2001:0:0:1::1/128"],
    ["2001:db8:0:1:1:1:1:1", 128, "2001:db8:0:1:1:1:1:1/128"],
    ["2001:db8:abff::1", 40, "2001:db8:ab00::/40"],
    ["2001:db8:abff::1", 41, "2001:db8:ab80::/41"],
    ["2001:db8:abcd:12ff::1", 56, "2001:db8:abcd:1200::/56"],
    ["ffff::", 1, "8000::/1"],
    ["192.0.2.7", 1, "192.0.2.7"],
  ])("%s by %d bits is %s", (address, bits, key) => {
    expect(addressKey(address, bits)).toBe(key);
  });

  test.each([0, 129, 1.5, Number.NaN, "64"])("has no %j bits", (bits) => {
    expect(() => addressKey("::1", bits as number)).toThrow(InvalidOptionError);
  });
});

/** The address of a call over proxies, by what they wrote. */
function behind(
  trust: number | readonly string[],
  connection: string | undefined,
  field?: string,
  header = "x-forwarded-for",
): string | undefined {
  const call = callWith(field === undefined ? {} : { [header]: field }, { address: connection });
  return clientAddress({ trust, header })(undefined, call);
}

const PRIVATE = ["10.0.0.0/8", "fd00::/8", "127.0.0.1"] as const;

describe("the client's address", () => {
  test.each<
    [number | readonly string[], string | undefined, string | undefined, string | undefined]
  >([
    // No proxy is trusted.
    [0, "10.0.0.1", "1.1.1.1", "10.0.0.1"],
    [[], "10.0.0.1", "1.1.1.1", "10.0.0.1"],
    // As many entries from the right as there are proxies.
    [1, "10.0.0.1", "1.1.1.1", "1.1.1.1"],
    [1, "10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"],
    [2, "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"],
    [2, "10.0.0.1", "1.1.1.1", "1.1.1.1"],
    [3, "10.0.0.1", "1.1.1.1,\t10.0.0.3 ,10.0.0.2", "1.1.1.1"],
    [1, "10.0.0.1", undefined, "10.0.0.1"],
    [1, "10.0.0.1", "", "10.0.0.1"],
    // A proxy on a Unix socket has no address.
    [1, undefined, "1.1.1.1", "1.1.1.1"],
    [1, undefined, undefined, undefined],
    [0, undefined, "1.1.1.1", undefined],
    [PRIVATE, undefined, "1.1.1.1", undefined],
    // Proxies by their blocks, as far as they go.
    [PRIVATE, "10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"],
    [PRIVATE, "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.9.9.9, fd12::1, 127.0.0.1", "1.1.1.1"],
    [PRIVATE, "::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"],
    [PRIVATE, "11.0.0.1", "1.1.1.1", "11.0.0.1"],
    [PRIVATE, "127.0.0.2", "1.1.1.1", "127.0.0.2"],
    [PRIVATE, "10.0.0.1", "10.0.0.9", "10.0.0.9"],
    [["::ffff:10.0.0.1"], "10.0.0.1", "1.1.1.1", "1.1.1.1"],
    [["0.0.0.0/0"], "10.0.0.1", "6.6.6.6, 1.1.1.1", "6.6.6.6"],
    [["2001:db8::/33"], "2001:db8:7fff::1", "1.1.1.1", "1.1.1.1"],
    [["2001:db8::/33"], "2001:db8:8000::1", "1.1.1.1", "2001:db8:8000::1"],
    // An entry that names no address ends the search at its position.
    [2, "10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"],
    [2, "10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"],
    [3, "10.0.0.1", "1.1.1.1, , 10.0.0.2", "10.0.0.2"],
    // Without port and zone, so that a connection more is no client more.
    [1, "10.0.0.1", "1.1.1.1:4711", "1.1.1.1"],
    [1, "10.0.0.1", "[2001:DB8::1]:4711", "2001:db8::1"],
    [1, "10.0.0.1", "fe80::1%eth0", "fe80::1"],
    [1, "10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"],
    [0, "fe80::1%eth0", undefined, "fe80::1"],
    [0, "not an address", undefined, "not an address"],
  ])("trusting %j, from %s with %j, is %s", (trust, connection, field, address) => {
    expect(behind(trust, connection, field)).toBe(address);
  });

  test.each<[string, string]>([
    ["for=1.1.1.1", "1.1.1.1"],
    ['For="1.1.1.1:80"', "1.1.1.1"],
    ["for=1.1.1.1:80", "1.1.1.1"],
    ['for=6.6.6.6, for="[2001:db8::1]:443";proto=https;by=10.0.0.9', "2001:db8::1"],
    ["by=10.0.0.9;FOR=1.1.1.1;host=a", "1.1.1.1"],
    ["for=6.6.6.6,proto=http", "10.0.0.1"],
    ["for=6.6.6.6, for=unknown", "10.0.0.1"],
    ["for=6.6.6.6, for=_hidden", "10.0.0.1"],
    ["", "10.0.0.1"],
    // Texts with commas, and what would forge an entry by one.
    ['for=1.1.1.1;host="a, for=6.6.6.6"', "1.1.1.1"],
    ['for=1.1.1.1;host="a\\", for=6.6.6.6"', "1.1.1.1"],
    ['for="6.6.6.6, for=1.1.1.1', "10.0.0.1"],
    ['host="a, for=1.1.1.1', "10.0.0.1"],
    ["for=1.1.1.1 x", "10.0.0.1"],
    ["for", "10.0.0.1"],
    ["for=", "10.0.0.1"],
    ["=1.1.1.1", "10.0.0.1"],
    [" for=6.6.6.6 , for=1.1.1.1 ; proto=http ", "1.1.1.1"],
  ])("of Forwarded: %s is %s", (field, address) => {
    expect(behind(1, "10.0.0.1", field, "forwarded")).toBe(address);
  });

  test("comes from the field that is named", () => {
    expect(behind(1, "10.0.0.1", "1.1.1.1", "cf-connecting-ip")).toBe("1.1.1.1");
    const upper = clientAddress({ trust: 1, header: "X-Real-IP" });
    expect(upper(undefined, callWith({ "x-real-ip": "1.1.1.1" }))).toBe("1.1.1.1");
  });

  test("of the connection may be the user's own", () => {
    const address = clientAddress({ trust: 1, connection: (raw: { peer: string }) => raw.peer });
    const call = callWith({ "x-forwarded-for": "1.1.1.1" }, { address: undefined });
    expect(address({ peer: "10.0.0.1" }, call)).toBe("1.1.1.1");
    expect(address({ peer: "10.0.0.1" }, callWith({}))).toBe("10.0.0.1");
  });

  test.each([
    ["trust", {}],
    ["trust", { trust: true }],
    ["trust", { trust: "loopback" }],
    ["trust", { trust: -1 }],
    ["trust", { trust: 1.5 }],
    ["trust[1]", { trust: ["10.0.0.0/8", "10.0.0.0/33"] }],
    ["trust[0]", { trust: ["::/129"] }],
    ["trust[0]", { trust: ["::ffff:0:0/96"] }],
    ["trust[0]", { trust: ["10.0.0.0/"] }],
    ["trust[0]", { trust: ["10.0.0.0/8/8"] }],
    ["trust[0]", { trust: ["10.0.0.0/-1"] }],
    ["trust[0]", { trust: ["proxy.local"] }],
    ["trust[0]", { trust: [7] }],
    ["header", { trust: 1, header: "x forwarded" }],
    ["header", { trust: 1, header: "" }],
    ["connection", { trust: 1, connection: "10.0.0.1" }],
    ["hops", { trust: 1, hops: 2 }],
  ])("has no %s of %j", (option, options) => {
    expect(() => clientAddress(options as never)).toThrow(InvalidOptionError);
    expect(() => clientAddress(options as never)).toThrow(option);
  });

  test.each([
    ["x-forwarded-for", "1.1.1.1,"],
    ["x-forwarded-for", " "],
    ["x-forwarded-for", "["],
    ["forwarded", "for=1.1.1.1,"],
    ["forwarded", " "],
    ["forwarded", 'a="\\'],
    ["forwarded", 'a="'],
    ["forwarded", "a=b;"],
    ["forwarded", ",;"],
  ])("of a flood of %s: %j is found in linear time", (header, part) => {
    const find = clientAddress({ trust: 100, header });
    const timeMs = (length: number): number => {
      const call = callWith({ [header]: part.repeat(length / part.length) }, { address: "::1" });
      const least = [1, 2, 3, 4, 5].map(() => {
        const { user, system } = process.cpuUsage();
        find(undefined, call);
        const after = process.cpuUsage();
        return (after.user + after.system - user - system) / 1e3;
      });
      return Math.min(...least);
    };
    timeMs(1000);
    // Sixteen times as long: 256 times as slow if it were quadratic. A millisecond is what the clock may lose.
    expect(timeMs(320_000)).toBeLessThan(80 * (timeMs(20_000) + 1));
  });
});
