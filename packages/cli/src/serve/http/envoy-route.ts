/** POST /json: Envoy's rate limit service in proto3 JSON, as Envoy's own answers it beside gRPC. */
import type { Service } from "../service.js";
import { decideRls, readRlsJson, rlsJson, RlsRequestError } from "../rls/index.js";
import { json } from "./answer.js";
import { invalid } from "./asked.js";
import type { Route } from "./route.js";

export function envoyRoute({ rules, settings }: Service): Route {
  return {
    path: "/json",
    methods: ["POST"],
    scopes: ["decide"],
    takes: "json",
    async answer({ body }) {
      try {
        const answer = await decideRls(rules, readRlsJson(body), !settings.grpcEach);
        return json(rlsJson(answer), answer.overallCode === "OVER_LIMIT" ? 429 : 200);
      } catch (error) {
        if (error instanceof RlsRequestError) throw invalid(error.message);
        throw error;
      }
    },
  };
}
