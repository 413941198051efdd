/** A server of the page that answers what a test says, and keeps what it was asked. */
import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { CSP, PAGE } from "../../../src/dashboard/page.generated.js";
import type { DashboardProblem, DashboardState } from "../../../src/dashboard/wire.js";
import { LOOKED_UP, PERMITS } from "./states.js";

/** An answer's body; a problem is answered with its status. */
export type Answer = object | undefined;

export interface StandIn {
  /** Of the page, with a slash at its end. */
  readonly url: string;
  /** What `api/state` answers; a problem for one that fails. */
  show(answer: DashboardState | DashboardProblem): void;
  /** What another address answers from now on. */
  answer(path: string, answer: Answer): void;
  /** Each POST since the last call of this, as "path body". */
  takePosts(): readonly (readonly [path: string, body: unknown])[];
  /** How often the state was asked for, how often two at once, and how often nothing had changed. */
  readonly polls: { count: number; overlapping: number; unchanged: number };
  /** Answers nothing until it is called again. */
  hold(): () => void;
  close(): void;
}

const isProblem = (answer: Answer): answer is DashboardProblem =>
  answer !== undefined && "status" in answer && "detail" in answer;

const DOCUMENT = `{
  "version": 42,
  "rules": [
    {
      "name": "api",
      "key": ["user"],
      "policy": { "algorithm": "token-bucket", "limit": 100, "period": "1m", "burst": 200 }
    }
  ]
}
`;

const defaultAnswers = (): Map<string, Answer> =>
  new Map<string, Answer>([
    ["login", undefined],
    ["logout", undefined],
    ["mode", undefined],
    ["lookup", { rules: [LOOKED_UP] }],
    ["key", { rules: [{ ...LOOKED_UP, isBlocked: true }] }],
    ["document", { version: 42, document: { rules: [] }, text: DOCUMENT }],
    ["diff", { lines: ["  rule login", "- limit 10", "+ limit 5"] }],
    [
      "try",
      {
        attempts: 182_400,
        fromMs: Date.UTC(2026, 10, 27, 14),
        toMs: Date.UTC(2026, 10, 27, 14, 5),
        rules: [
          {
            rule: "api",
            asked: 180_000,
            deniedBefore: 5210,
            deniedAfter: 9330,
            newlyDenied: 4120,
            newlyAllowed: 0,
            keysTouched: 31,
          },
        ],
        warnings: ["login: a limit of 0 denies every request"],
        notes: ["callers who retry behave differently: the attempts are those that were made"],
      },
    ],
    ["permits", PERMITS],
    ["endpermits", { ended: 1 }],
    ["publish", { version: 43 }],
    ["rollback", { version: 43 }],
  ]);

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? undefined : JSON.parse(text);
}

function send(response: ServerResponse, answer: Answer, fields: OutgoingHttpHeaders = {}): void {
  const status = isProblem(answer) ? answer.status : answer === undefined ? 204 : 200;
  response.writeHead(status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...fields,
  });
  response.end(answer === undefined ? "" : JSON.stringify(answer));
}

/** @param mount the path of the page, "/" or one with a slash at its end */
export async function standIn(shown: DashboardState, mount = "/"): Promise<StandIn> {
  let state: DashboardState | DashboardProblem = shown;
  const answers = defaultAnswers();
  let posts: [string, unknown][] = [];
  const polls = { count: 0, overlapping: 0, unchanged: 0 };
  let asking = 0;
  let held: Promise<void> = Promise.resolve();

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === mount) {
      response.writeHead(200, {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": CSP,
      });
      response.end(PAGE);
      return;
    }
    const path = pathname.startsWith(`${mount}api/`) ? pathname.slice(mount.length + 4) : "";
    const respond = async (): Promise<void> => {
      const body = await bodyOf(request);
      if (path !== "state") {
        if (request.method === "POST") posts.push([path, body]);
        if (path === "login") state = shown;
        send(
          response,
          answers.has(path)
            ? answers.get(path)
            : { status: 404, title: "Not found", detail: `There is no ${pathname}.` },
        );
        return;
      }
      polls.count += 1;
      asking += 1;
      if (asking > 1) polls.overlapping += 1;
      await held;
      asking -= 1;
      // As the server tells them apart.
      const etag = `"${createHash("sha256").update(JSON.stringify(state)).digest("base64url")}"`;
      if (request.headers["if-none-match"] === etag) {
        polls.unchanged += 1;
        response.writeHead(304, { etag, "cache-control": "no-store" }).end();
      } else {
        send(response, state, { etag });
      }
    };
    void respond();
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}${mount}`,
    show: (answer) => {
      state = answer;
    },
    answer: (path, answer) => {
      answers.set(path, answer);
    },
    takePosts: () => {
      const taken = posts;
      posts = [];
      return taken;
    },
    polls,
    hold: () => {
      let release = (): void => {};
      held = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
