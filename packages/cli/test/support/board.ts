/** A dashboard in this process, for one test, and somebody who asks it. */
import type { PoliciesDocument } from "sluice/policies";
import { PolicySet } from "sluice/policies";
import { onTestFinished } from "vitest";
import { type Dashboard, dashboard, type DashboardOptions } from "../../src/dashboard/index.js";
import type { DashboardState } from "../../src/dashboard/wire.js";

export interface BoardReply<T = Record<string, never>> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Out of JSON. */
  readonly body: T;
}

export interface Asking {
  readonly headers?: Readonly<Record<string, string>>;
  readonly address?: string;
  readonly method?: string;
  readonly raw?: string;
}

export interface BoardUnderTest {
  readonly board: Dashboard;
  readonly rules: PolicySet;
  /** GET, or POST with a body, as the page does it. */
  readonly ask: <T = Record<string, never>>(
    path: string,
    body?: unknown,
    asking?: Asking,
  ) => Promise<BoardReply<T>>;
  readonly state: (since?: number) => Promise<DashboardState>;
}

export const RULES: PoliciesDocument = {
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "token-bucket", limit: 3, period: "1h" },
    },
    {
      name: "login",
      match: { path: "/login" },
      key: ["user"],
      policy: { algorithm: "fixed-window", limit: 5, window: "1h" },
    },
  ],
};

const PAGE_FIELDS = { "content-type": "application/json", "sec-fetch-site": "same-origin" };

/** Of a document, or of rules that are there; everybody is admin unless the options say otherwise. */
export function openBoard(
  source: PoliciesDocument | PolicySet = RULES,
  options: Partial<DashboardOptions> = {},
): BoardUnderTest {
  const rules = source instanceof PolicySet ? source : new PolicySet({ source });
  const auth = { auth: () => ({ access: "admin", who: "ana" }) as const };
  const isGiven = options.auth !== undefined || options.token !== undefined;
  const board = dashboard({ policies: rules, ...(!isGiven && auth), ...options });
  onTestFinished(async () => {
    await board.close();
    if (rules !== source) await rules.close();
  });
  return { board, rules, ...askerOf(board) };
}

function askerOf(board: Dashboard): Pick<BoardUnderTest, "ask" | "state"> {
  const ask = async <T>(
    path: string,
    body?: unknown,
    { headers = {}, address, method, raw }: Asking = {},
  ): Promise<BoardReply<T>> => {
    const isPost = body !== undefined || raw !== undefined;
    const request = new Request(`http://limits.test/a/b/${path}`, {
      method: method ?? (isPost ? "POST" : "GET"),
      headers: { host: "limits.test", ...(isPost && PAGE_FIELDS), ...headers },
      ...(isPost && { body: raw ?? JSON.stringify(body) }),
    });
    const reply = await board(request, { address });
    const text = await reply.text();
    const isJson = /json/.test(reply.headers.get("content-type") ?? "");
    const parsed = isJson && text !== "" ? (JSON.parse(text) as T) : ({} as T);
    return { status: reply.status, headers: reply.headers, text, body: parsed };
  };
  return {
    ask,
    state: async (since) => {
      const { body } = await ask<DashboardState>(
        `api/state${since === undefined ? "" : `?since=${since}`}`,
      );
      return body;
    },
  };
}
