/** grpc.health.v1: whether the service can decide, once or as it changes. */
import { setInterval as ticks } from "node:timers/promises";
import type {
  sendUnaryData,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
} from "@grpc/grpc-js";
import type { GrpcLibrary } from "./load-grpc.js";

interface HealthRequest {
  readonly service: string;
}

interface HealthResponse {
  readonly status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}

type Watch = ServerWritableStream<HealthRequest, HealthResponse>;
type Check = ServerUnaryCall<HealthRequest, HealthResponse>;

/** The services that have a health; "" is the server. */
const NAMES: ReadonlySet<string> = new Set(["", "envoy.service.ratelimit.v3.RateLimitService"]);
const LOOKS_EVERY_MS = 1000;

/** The definition with a reader that never throws: bytes that are no request name a service that there is not. */
export function healthDefinition(definition: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const requestDeserialize = (bytes: Buffer): HealthRequest => {
        try {
          return method.requestDeserialize(bytes) as HealthRequest;
        } catch {
          return { service: "no service" };
        }
      };
      return [name, { ...method, requestDeserialize }];
    }),
  );
}

/** Answers Check and Watch, and ends who watches when the service does. */
export class Health {
  readonly #grpc: GrpcLibrary;
  readonly #isReady: () => Promise<boolean>;
  readonly #watches = new Map<Watch, HealthResponse["status"]>();
  #looking: AbortController | undefined;
  #hasEnded = false;

  constructor(grpc: GrpcLibrary, isReady: () => Promise<boolean>) {
    this.#grpc = grpc;
    this.#isReady = isReady;
  }

  /** Of the service's definition. */
  readonly handlers = {
    Check: ({ request }: Check, answer: sendUnaryData<HealthResponse>): void => {
      void this.#statusOf(request.service).then((status) => {
        if (status !== "SERVICE_UNKNOWN") answer(null, { status });
        else answer({ code: this.#grpc.status.NOT_FOUND, details: "there is no such service" });
      });
    },
    Watch: (call: Watch): void => {
      const leave = (): void => {
        this.#watches.delete(call);
        if (this.#watches.size === 0) this.#rest();
      };
      call.on("cancelled", leave);
      call.on("error", leave);
      this.#watches.set(call, "SERVICE_UNKNOWN");
      void this.#statusOf(call.request.service).then((status) => {
        if (!this.#watches.has(call)) return;
        this.#tell(call, status);
        if (this.#hasEnded) this.#endOf(call);
        else this.#begin();
      });
    },
  };

  /** Tells all who watch that the service goes, and lets them go. */
  end(): void {
    this.#hasEnded = true;
    this.#rest();
    for (const call of this.#watches.keys()) {
      if (NAMES.has(call.request.service)) this.#tell(call, "NOT_SERVING");
      this.#endOf(call);
    }
  }

  async #statusOf(service: string): Promise<HealthResponse["status"]> {
    if (!NAMES.has(service)) return "SERVICE_UNKNOWN";
    return !this.#hasEnded && (await this.#isReady()) ? "SERVING" : "NOT_SERVING";
  }

  #tell(call: Watch, status: HealthResponse["status"]): void {
    this.#watches.set(call, status);
    call.write({ status });
  }

  #endOf(call: Watch): void {
    this.#watches.delete(call);
    call.end();
  }

  #begin(): void {
    if (this.#looking !== undefined) return;
    this.#looking = new AbortController();
    void this.#lookUntil(this.#looking.signal);
  }

  #rest(): void {
    this.#looking?.abort();
    this.#looking = undefined;
  }

  async #lookUntil(signal: AbortSignal): Promise<void> {
    try {
      for await (const _ of ticks(LOOKS_EVERY_MS, undefined, { signal, ref: false })) {
        await this.#look();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #look(): Promise<void> {
    const status = await this.#statusOf("");
    for (const [call, last] of this.#watches) {
      if (NAMES.has(call.request.service) && last !== status) this.#tell(call, status);
    }
  }
}
