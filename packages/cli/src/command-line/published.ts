/** What the commands on a published document of policies share: their options, and its location. */
import { type PoliciesDocument, PolicyConflictError, PublishedPolicies } from "sluice/policies";
import type { Io } from "../terminal/terminal.js";
import { type OptionTable, type OptionValues, UsageError } from "./options.js";
import { redactUrl } from "./redact.js";
import { connect, requiredRedisUrl, STORE_OPTIONS } from "./store-options.js";
import { noteText } from "./version-text.js";

/** The store and the name of a published document. */
export const PUBLISHED_OPTIONS = {
  redis: STORE_OPTIONS.redis,
  cluster: STORE_OPTIONS.cluster,
  name: {
    type: "string",
    value: "NAME",
    help: 'The name under which the document is published (default "sluice").',
  },
} as const satisfies OptionTable;

/** Who changes it, and why. */
export const NOTE_OPTIONS = {
  by: { type: "string", value: "WHO", help: "Who publishes, for the history (default: $USER)." },
  comment: { type: "string", value: "TEXT", help: "Why, for the history." },
} as const satisfies OptionTable;

type PublishedValues = OptionValues<typeof PUBLISHED_OPTIONS>;
type NoteValues = OptionValues<typeof NOTE_OPTIONS>;

/** A document of a store. */
export interface PublishedAccess {
  readonly published: PublishedPolicies;
  /** The store, fit to be shown. */
  readonly place: string;
}

/** Connects, runs `work` and disconnects. */
export async function withPublished<R>(
  values: PublishedValues,
  env: Io["env"],
  work: (access: PublishedAccess) => Promise<R>,
): Promise<R> {
  const url = requiredRedisUrl(values, env);
  const { name = "sluice" } = values;
  const store = await connect(url, values);
  try {
    const published = new PublishedPolicies({ store, name });
    return await work({ published, place: `"${name}" on ${redactUrl(url)}` });
  } finally {
    await store.close();
  }
}

/** The note that goes into the history. */
export function noteFrom(
  { by, comment }: NoteValues,
  env: Io["env"],
): {
  readonly by?: string;
  readonly comment?: string;
} {
  const who = by ?? env["USER"];
  return {
    ...(who !== undefined && who !== "" && { by: who }),
    ...(comment !== undefined && { comment }),
  };
}

/** What is in force now, and its version; version 0 if nothing is published. */
export async function inForce(
  published: PublishedPolicies,
): Promise<{ readonly version: number; readonly document: PoliciesDocument | undefined }> {
  const entry = await published.read();
  return entry === undefined
    ? { version: 0, document: undefined }
    : { version: entry.version, document: entry.document };
}

/** Whether another publisher was first. */
export function isConflict(error: unknown): error is PolicyConflictError {
  return error instanceof PolicyConflictError;
}

/** @throws UsageError if something is given that the command does not take. */
export function noMore(extra: string | undefined): void {
  if (extra !== undefined) throw new UsageError(`unexpected argument ${extra}`);
}

/** Who was quicker, as far as the history knows. */
export async function conflictText(
  { published, place }: PublishedAccess,
  expected: number,
  version: number,
): Promise<string> {
  if (version === 0) {
    return `nothing was published: version ${expected} was expected, and nothing is published as ${place}`;
  }
  const newer = (await published.history()).find((note) => note.version === version);
  const who = newer === undefined ? "" : ` (${noteText(newer)})`;
  return (
    `nothing was published: version ${expected} was expected, and version ${version} is in force${who}.` +
    "\nRead it with sluice policies pull, put your change into it, and push again"
  );
}
