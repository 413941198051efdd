/** The service over gRPC. */
import { placeOf } from "../http/listen.js";
import { errorText } from "../log.js";
import type { Service } from "../service.js";
import { readTls } from "../tls.js";
import { grpcServer } from "./grpc-server.js";

/**
 * Listens at the address in the settings, if there is one; the service closes it when it ends. Answers the address, with
 * the port that it got.
 *
 * @throws SettingError; the system's error if the address is not available
 */
export async function openGrpc(service: Service): Promise<string | undefined> {
  const { grpc, grpcEach, maxConnections, requestTimeout } = service.settings;
  if (grpc === undefined) return undefined;
  const place = placeOf("grpc", /^\d+$/.test(grpc) ? `127.0.0.1:${grpc}` : grpc);
  const tls = place.path === undefined ? await readTls(service.settings) : undefined;
  const server = await grpcServer({
    rules: service.rules,
    atomic: !grpcEach,
    tokens: service.tokens,
    isReady: async () => (await service.readiness()).isReady,
    tls,
    handshakeMs: requestTimeout,
    maxConnections,
    failed: (error) => {
      service.log.error("gRPC failed", { error: errorText(error) });
    },
  });
  const port = await server.listen(place);
  service.mount(server);
  return place.path === undefined ? `grpc://${place.host}:${port}` : `unix:${place.path}`;
}
