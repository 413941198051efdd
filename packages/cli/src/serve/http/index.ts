/** The service over HTTP: its routes and addresses. */
import type { Service } from "../service.js";
import { authzRoute } from "./authz.js";
import { decideRoutes } from "./decide-routes.js";
import { documentRoutes } from "./document-routes.js";
import { envoyRoute } from "./envoy-route.js";
import { httpHandler } from "./handler.js";
import { type HttpEntrance, listenHttp } from "./listen.js";
import { probeRoutes } from "./probe-routes.js";
import type { Route } from "./route.js";
import { semaphoreRoutes } from "./semaphore-routes.js";
import { storeRoute } from "../store/store-route.js";

/** Every route of the service. */
export function routesOf(service: Service): readonly Route[] {
  return [
    ...decideRoutes(service.rules),
    authzRoute(service.rules, service.settings.trust),
    envoyRoute(service),
    ...semaphoreRoutes(service),
    storeRoute(service),
    ...documentRoutes(service.rules),
    ...probeRoutes(service),
  ];
}

/** Listens at the addresses in the settings; the service closes it when it ends. */
export async function openHttp(service: Service): Promise<readonly HttpEntrance[]> {
  const entrances = await listenHttp(service.settings, httpHandler(service, routesOf(service)));
  for (const entrance of entrances) service.mount(entrance);
  return entrances;
}
