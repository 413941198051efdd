/** Whose word Fastify takes for a client's address; for its own adapter, and for Nest on it. */
import type { HttpCall } from "../http/call.js";

/** What has an address by the setting of its server, as FastifyRequest. */
interface AddressedRequest {
  readonly ip?: string;
  /** Holds the forwarded addresses, if the server's setting says whom to trust. */
  readonly ips?: readonly string[] | undefined;
}

/** From 5.12 on, a number trusts no proxy. */
export const FASTIFY_TRUST = 'fastify({ trustProxy: "10.0.0.0/8" }), with the addresses of yours';

/** Fastify does not show its setting, so this asks it whether it trusts an address that is reserved for documentation. */
export function trustOf(request: AddressedRequest): ReturnType<NonNullable<HttpCall["trust"]>> {
  if (request.ips === undefined) return "nobody";
  const raw = { socket: { remoteAddress: NOBODY }, headers: { "x-forwarded-for": CHAIN } };
  const { ip } = Object.create(request, { raw: { value: raw } }) as AddressedRequest;
  return ip === FORGED ? "everybody" : "some";
}

/** Of the blocks for documentation, RFC 5737. */
const NOBODY = "192.0.2.1";
const FORGED = "198.51.100.1";
/** Longer than any chain of proxies that a setting trusts. */
const CHAIN = [FORGED, ...Array.from({ length: 100 }, () => NOBODY)].join(", ");
