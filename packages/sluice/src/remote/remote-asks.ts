/** What a store has besides, at a service: overrides, reports and documents. Each question is a separate request. */
import type {
  DocumentDraft,
  DocumentEntry,
  DocumentHead,
  DocumentNote,
  DocumentPublished,
  DocumentStore,
  DocumentWatch,
} from "../stores/document-store.js";
import type {
  OverrideStore,
  OverridesRead,
  OverrideWrite,
  StoredOverride,
} from "../stores/override-store.js";
import type {
  ReportMinute,
  ReportRead,
  ReportStore,
  ReportWrite,
  ReportWritten,
} from "../stores/report-store.js";
import type { Requests } from "./requests.js";
import type { Notices } from "./notices.js";
import { type AskFrame, STORE_PROTOCOL } from "./wire.js";
import { errorOf } from "./wire-errors.js";

/** Asks one question; rejects with the error of the store behind the service. */
export type Ask = <T>(...ask: AskFrame) => Promise<T>;

export function asking(requests: Requests, requestTimeoutMs: number): Ask {
  return async <T>(...ask: AskFrame): Promise<T> => {
    const body = JSON.stringify({ v: STORE_PROTOCOL, within: requestTimeoutMs, ask });
    const answer = (await requests.post(body)) as { value?: T; error?: unknown };
    if (answer.error !== undefined || answer.value === undefined) throw errorOf(answer.error);
    return answer.value;
  };
}

export class RemoteOverrides implements OverrideStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  write(limiter: string, { id, text, untilMs, most }: OverrideWrite): Promise<boolean> {
    return this.#ask("overrides.write", limiter, id, text ?? null, untilMs ?? null, most);
  }

  async read(limiter: string, known: string): Promise<OverridesRead> {
    const { version, nowMs, texts } = await this.#ask<{
      readonly version: string;
      readonly nowMs: number;
      readonly texts: readonly (readonly [string, string, number | null])[] | null;
    }>("overrides.read", limiter, known);
    if (texts === null) return { version, nowMs, texts: undefined };
    const all = texts.map(([id, text, untilMs]): [string, StoredOverride] => {
      return [id, { text, untilMs: untilMs ?? undefined }];
    });
    return { version, nowMs, texts: new Map(all) };
  }
}

export class RemoteReports implements ReportStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  nowMs(name: string): Promise<number> {
    return this.#ask("reports.now", name);
  }

  write(to: ReportMinute, what: ReportWrite): Promise<ReportWritten> {
    const { process, turn, line, fields } = what;
    return this.#ask("reports.write", to.name, to.minute, process, turn, line, [...fields]);
  }

  async read({ name, minute }: ReportMinute): Promise<ReportRead> {
    const { nowMs, fields } = await this.#ask<{
      readonly nowMs: number;
      readonly fields: readonly (readonly [string, string])[];
    }>("reports.read", name, minute);
    return { nowMs, fields: new Map(fields) };
  }
}

type NoteFrame = Omit<DocumentNote, "by" | "comment"> & {
  readonly by?: string;
  readonly comment?: string;
};

export class RemoteDocuments implements DocumentStore {
  readonly #ask: Ask;
  readonly #notices: Notices;

  constructor(ask: Ask, notices: Notices) {
    this.#ask = ask;
    this.#notices = notices;
  }

  head(name: string, seen: number): Promise<DocumentHead> {
    return this.#ask("documents.head", name, seen);
  }

  async read(name: string, version = 0): Promise<DocumentEntry | undefined> {
    const entry = await this.#ask<(NoteFrame & { readonly text: string }) | null>(
      "documents.read",
      name,
      version,
    );
    return entry === null ? undefined : { ...noteOf(entry), text: entry.text };
  }

  publish(name: string, draft: DocumentDraft): Promise<DocumentPublished> {
    const { text, digest, by = null, comment = null, expected, seen } = draft;
    return this.#ask("documents.publish", name, text, digest, by, comment, expected, seen);
  }

  async history(name: string): Promise<readonly DocumentNote[]> {
    return (await this.#ask<readonly NoteFrame[]>("documents.history", name)).map(noteOf);
  }

  watch(name: string, hint: () => void): DocumentWatch {
    return this.#notices.watch(name, hint);
  }
}

function noteOf({ version, digest, atMs, by, comment }: NoteFrame): DocumentNote {
  return { version, digest, atMs, by, comment };
}
