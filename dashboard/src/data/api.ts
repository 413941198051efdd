/** What the page asks of its server. Addresses are relative to the page's own, with or without a slash at its end. */
import type { DashboardProblem, DashboardState } from "../../../packages/cli/src/dashboard/wire.js";

const LONGEST_MS = 20_000;

/** The whole of a problem in one line: its detail goes on where its title ends. */
export const textOf = ({ title, detail }: DashboardProblem): string =>
  title === "" ? detail : `${title}: ${detail}`;

/** An answer that is not 2xx or cannot be read; or, with status 0, none at all. */
export class ProblemError extends Error {
  readonly problem: DashboardProblem;

  constructor(problem: DashboardProblem, options?: ErrorOptions) {
    super(textOf(problem), options);
    this.problem = problem;
  }
}

const address = (path: string): string => `${location.pathname.replace(/\/?$/, "/")}api/${path}`;

async function problemOf(response: Response): Promise<DashboardProblem> {
  const { status, statusText } = response;
  try {
    const problem = (await response.json()) as Partial<DashboardProblem>;
    const { title = statusText, detail } = problem;
    if (detail !== undefined) return { ...problem, status, title, detail };
  } catch {
    // A proxy's page, say.
  }
  const answered = `${status} ${statusText}`.trim();
  return { status, title: "", detail: `The server answered ${answered}.` };
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path), {
      ...init,
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(LONGEST_MS),
    });
  } catch (cause) {
    const detail = "The server of this page does not answer.";
    throw new ProblemError({ status: 0, title: "", detail }, { cause });
  }
  if (response.ok || response.status === 304) return response;
  throw new ProblemError(await problemOf(response));
}

/** @throws {ProblemError} for an answer that broke off, or is the page of a proxy */
async function read<Answer>(response: Response): Promise<Answer> {
  try {
    return (await response.json()) as Answer;
  } catch (cause) {
    const detail =
      "The answer cannot be read. Something between this page and its server may have answered.";
    throw new ProblemError({ status: response.status, title: "", detail }, { cause });
  }
}

/** @throws {ProblemError} */
export async function get<Answer>(path: string): Promise<Answer> {
  return read(await ask(path, {}));
}

/** @throws {ProblemError} */
export async function post<Answer = undefined>(path: string, body: unknown): Promise<Answer> {
  const response = await ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.status === 204 ? (undefined as Answer) : read(response);
}

let tag: string | undefined;

/** What is new since then; undefined if nothing is. @throws {ProblemError} */
export async function getState(since: number | undefined): Promise<DashboardState | undefined> {
  const isAsked = since !== undefined && tag !== undefined;
  const headers = isAsked ? { "if-none-match": tag ?? "" } : {};
  const response = await ask(since === undefined ? "state" : `state?since=${since}`, { headers });
  if (response.status === 304) return undefined;
  const state = await read<DashboardState>(response);
  tag = response.headers.get("etag") ?? undefined;
  return state;
}

/** What to show of anything that was thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
