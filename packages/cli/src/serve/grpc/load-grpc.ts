/** The packages of gRPC and our definitions, loaded only by a service that answers gRPC: both packages are optional. */
import { fileURLToPath } from "node:url";
import type * as Grpc from "@grpc/grpc-js";
import type * as ProtoLoader from "@grpc/proto-loader";
import { SettingError } from "../read-settings.js";

export type GrpcLibrary = typeof Grpc;

export interface LoadedGrpc {
  readonly grpc: GrpcLibrary;
  readonly rateLimits: Grpc.ServiceDefinition;
  readonly health: Grpc.ServiceDefinition;
}

/** Beside `src` and `dist`. */
const PROTOS = fileURLToPath(new URL("../../../proto", import.meta.url));

const MISSING =
  "gRPC needs two packages that are not installed: npm install @grpc/grpc-js @grpc/proto-loader";

/** @throws SettingError if a package is not installed */
export async function loadGrpc(
  load: (name: string) => Promise<unknown> = (name) => import(name),
): Promise<LoadedGrpc> {
  const [grpc, loader] = await Promise.all([
    optional<GrpcLibrary>("@grpc/grpc-js", load),
    optional<typeof ProtoLoader>("@grpc/proto-loader", load),
  ]);
  const definitions = await loader.load(["rls.proto", "health.proto"], {
    includeDirs: [PROTOS],
    longs: Number,
    enums: String,
    defaults: true,
  });
  const serviceOf = (name: string) => definitions[name] as Grpc.ServiceDefinition;
  return {
    grpc,
    rateLimits: serviceOf("envoy.service.ratelimit.v3.RateLimitService"),
    health: serviceOf("grpc.health.v1.Health"),
  };
}

async function optional<T>(name: string, load: (name: string) => Promise<unknown>): Promise<T> {
  try {
    const loaded = (await load(name)) as { default?: T };
    // Packages in CommonJS have all they export in `default`.
    return loaded.default ?? (loaded as T);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") {
      throw new SettingError(MISSING);
    }
    throw error;
  }
}
