/** The service over gRPC. */
export { GrpcServer, grpcServer, type GrpcServerOptions } from "./grpc-server.js";
