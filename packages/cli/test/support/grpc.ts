/** A gRPC service in this process, and clients of it: one made of Envoy's own definitions, and one for bytes made by hand. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync, type Options } from "@grpc/proto-loader";
import type { PoliciesDocument } from "sluice/policies";
import { PolicySet } from "sluice/policies";
import { ManualClock } from "sluice/testing";
import { MemoryStore, type Store } from "sluice";
import { onTestFinished } from "vitest";
import {
  type GrpcServer,
  grpcServer,
  type GrpcServerOptions,
} from "../../src/serve/grpc/grpc-server.js";

export const METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/** 2027-01-15T08:00:10Z: ten seconds into a minute, an hour and so on. */
const NOW_MS = 1_800_000_010_000;

const require = createRequire(import.meta.url);
const DEPS = join(dirname(require.resolve("@grpc/grpc-js-xds/package.json")), "deps");

const OPTIONS: Options = {
  includeDirs: ["envoy-api", "xds", "protoc-gen-validate", "googleapis"].map((name) =>
    join(DEPS, name),
  ),
  longs: Number,
  enums: String,
  defaults: true,
};

/** Envoy's own service, out of the copy of its definitions on npm. */
const official = loadSync("envoy/service/ratelimit/v3/rls.proto", OPTIONS)[
  "envoy.service.ratelimit.v3.RateLimitService"
] as grpc.ServiceDefinition;

export interface Started {
  readonly server: GrpcServer;
  readonly rules: PolicySet;
  readonly clock: ManualClock;
  readonly address: string;
}

/** On a free port of the loopback; ends with the test. */
export async function startGrpc(
  document: PoliciesDocument,
  options: Partial<GrpcServerOptions> & { readonly store?: Store } = {},
): Promise<Started> {
  const clock = new ManualClock(NOW_MS);
  const { store = new MemoryStore({ clock }), ...others } = options;
  const rules = new PolicySet({ source: document, store });
  const server = await grpcServer({ rules, ...others });
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  onTestFinished(async () => {
    await server.close(0);
    await rules.close();
  });
  return { server, rules, clock, address: `127.0.0.1:${port}` };
}

export interface Sent {
  readonly deadlineMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What a call came to: its answer, or the number and the words of its status. */
export interface Called<T> {
  readonly answer?: T;
  readonly code: number;
  readonly details: string;
}

export class RlsClient {
  readonly #client: grpc.Client;
  readonly #method: grpc.MethodDefinition<object, object>;

  constructor(address: string, credentials = grpc.credentials.createInsecure()) {
    // A connection of its own, which clients of one process would share.
    this.#client = new grpc.Client(address, credentials, { "grpc.use_local_subchannel_pool": 1 });
    this.#method = official["ShouldRateLimit"] as grpc.MethodDefinition<object, object>;
    onTestFinished(() => {
      this.close();
    });
  }

  close(): void {
    this.#client.close();
  }

  /** Asks by Envoy's definitions. */
  ask(request: object, sent?: Sent): Promise<Called<Answer>> {
    return this.bytes(this.#method.requestSerialize(request), sent);
  }

  /** Asks by bytes; the answer is read by Envoy's definitions. */
  bytes(bytes: Buffer, sent?: Sent): Promise<Called<Answer>> {
    const read = (buffer: Buffer): Answer => this.#method.responseDeserialize(buffer) as Answer;
    return this.raw(METHOD, bytes, read, sent);
  }

  raw<T>(
    path: string,
    bytes: Buffer,
    read: (buffer: Buffer) => T,
    sent: Sent = {},
  ): Promise<Called<T>> {
    const { deadlineMs, metadata = {} } = sent;
    const fields = new grpc.Metadata();
    for (const [name, value] of Object.entries(metadata)) fields.set(name, value);
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        path,
        (buffer: Buffer) => buffer,
        read,
        bytes,
        fields,
        options,
        (error, answer) => {
          if (error === null) resolve({ code: 0, details: "", answer: answer as T });
          else resolve({ code: error.code, details: error.details });
        },
      );
    });
  }
}

export interface Answer {
  readonly overallCode: string;
  readonly statuses: readonly {
    readonly code: string;
    readonly currentLimit: { requestsPerUnit: number; unit: string | number; name: string } | null;
    readonly limitRemaining: number;
    readonly durationUntilReset: { readonly seconds: number; readonly nanos: number } | null;
  }[];
  readonly responseHeadersToAdd: readonly { readonly key: string; readonly value: string }[];
  readonly rawBody: Buffer;
  readonly dynamicMetadata: { readonly fields: Readonly<Record<string, unknown>> } | null;
}

/** Bytes of the wire, field by field. */
export const wire = {
  varint(number: number, value: number | bigint): Buffer {
    return Buffer.concat([varintOf(number << 3), varintOf(value)]);
  },
  bytes(number: number, ...values: readonly Buffer[]): Buffer {
    const value = Buffer.concat(values);
    return Buffer.concat([varintOf((number << 3) | 2), varintOf(value.length), value]);
  },
  text(number: number, value: string): Buffer {
    return wire.bytes(number, Buffer.from(value));
  },
};

function varintOf(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  do {
    const more = rest > 127n ? 128 : 0;
    bytes.push(Number(rest & 127n) | more);
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** A descriptor with the fields that the copy on npm lacks. */
export function descriptorBytes(
  entries: Readonly<Record<string, string>>,
  more: {
    hits?: number | bigint;
    isNegative?: boolean;
    limit?: { per: number; unit: number };
  } = {},
): Buffer {
  const { hits, isNegative, limit } = more;
  const parts = Object.entries(entries).map(([key, value]) =>
    wire.bytes(1, wire.text(1, key), wire.text(2, value)),
  );
  if (limit !== undefined) {
    parts.push(wire.bytes(2, wire.varint(1, limit.per), wire.varint(2, limit.unit)));
  }
  if (hits !== undefined) {
    parts.push(wire.bytes(3, BigInt(hits) === 0n ? Buffer.of() : wire.varint(1, hits)));
  }
  if (isNegative === true) parts.push(wire.varint(4, 1));
  return wire.bytes(2, ...parts);
}

/** A whole request. */
export function requestBytes(domain: string, descriptors: readonly Buffer[], hits = 0): Buffer {
  return Buffer.concat([
    wire.text(1, domain),
    ...descriptors,
    ...(hits > 0 ? [wire.varint(3, hits)] : []),
  ]);
}
