/** The routes that ask rules. */
import type { PolicySet } from "sluice/policies";
import { decided, json } from "./answer.js";
import { askedOf } from "./asked.js";
import type { Call, Route } from "./route.js";

type Json = Readonly<Record<string, unknown>>;

const bodyOf = ({ body }: Call): Json => body as Json;

/** Whether the caller takes a denial for an answer like others: `?denied=200`. */
function isDeniedOk({ query }: Call): boolean {
  return query !== "" && new URLSearchParams(query).get("denied") === "200";
}

export function decideRoutes(rules: PolicySet): readonly Route[] {
  return [
    {
      path: "/v1/consume",
      methods: ["POST"],
      scopes: ["decide"],
      takes: "json",
      async answer(call) {
        return decided(await rules.consume(askedOf(bodyOf(call), rules)), isDeniedOk(call));
      },
    },
    {
      path: "/v1/peek",
      methods: ["POST"],
      scopes: ["read", "decide"],
      takes: "json",
      async answer(call) {
        return decided(await rules.peek(askedOf(bodyOf(call), rules)), true);
      },
    },
    {
      path: "/v1/explain",
      methods: ["POST"],
      scopes: ["read", "decide"],
      takes: "json",
      async answer(call) {
        return json(await rules.explain(askedOf(bodyOf(call), rules)));
      },
    },
  ];
}
