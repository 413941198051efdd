/** The routes that show and switch the document as a whole. */
import type { ModeSwitch, PolicySet } from "sluice/policies";
import { JSON_TYPE, json } from "./answer.js";
import { invalid } from "./asked.js";
import { OPENAPI } from "./openapi.js";
import type { Route } from "./route.js";

const MODES: ReadonlySet<unknown> = new Set(["shadow", "off", null]);

export function documentRoutes(rules: PolicySet): readonly Route[] {
  return [
    {
      path: "/v1/policies",
      methods: ["GET", "HEAD"],
      scopes: ["read"],
      takes: "nothing",
      answer: () => json({ version: rules.version, document: rules.document }),
    },
    {
      path: "/v1/mode",
      methods: ["POST"],
      scopes: ["admin"],
      takes: "json",
      answer({ body }) {
        const { mode, ...others } = body as { mode?: ModeSwitch | null };
        if (!MODES.has(mode) || Object.keys(others).length > 0) {
          throw invalid("mode must be shadow, off, or null for what the document says");
        }
        rules.setMode(mode ?? undefined);
        return json(rules.status());
      },
    },
    {
      path: "/v1/openapi.json",
      methods: ["GET", "HEAD"],
      scopes: [],
      takes: "nothing",
      answer: () => ({ status: 200, type: JSON_TYPE, fields: [], body: OPENAPI }),
    },
  ];
}
