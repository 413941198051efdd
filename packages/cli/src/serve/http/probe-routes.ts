/** The routes that machines look at: health, readiness and metrics. */
import type { Service } from "../service.js";
import { json } from "./answer.js";
import type { Route } from "./route.js";

export function probeRoutes(service: Service): readonly Route[] {
  return [
    {
      path: "/healthz",
      methods: ["GET", "HEAD"],
      scopes: [],
      takes: "nothing",
      answer: () => json({ status: "ok" }),
    },
    {
      path: "/readyz",
      methods: ["GET", "HEAD"],
      scopes: [],
      takes: "nothing",
      async answer() {
        const { isReady, notes } = await service.readiness();
        return json({ status: isReady ? "ready" : "not ready", notes }, isReady ? 200 : 503);
      },
    },
    {
      path: "/metrics",
      methods: ["GET", "HEAD"],
      scopes: ["read"],
      takes: "nothing",
      answer({ request }) {
        const { contentType, body } = service.metrics.render(request.headers.accept);
        return { status: 200, type: contentType, fields: [["Vary", "Accept"]], body };
      },
    },
  ];
}
