/**
 * A batch for the server: calls become keys and arguments, as the heads of scripts/*.lua describe them. Calls of one kind
 * are a part of it, which is one script call, so that a few that need the general script do not take all others there.
 */
import { type VerbName, VERBS } from "../../algorithms/decide.js";
import type { Kernel } from "../../algorithms/kernel.js";
import type { Rule } from "../../algorithms/rule.js";
import { keyNameOf } from "../../core/identity.js";
import type { BatchKind, ScriptParts } from "./scripts.js";
import type { Debit, StoreCall } from "../store.js";
import type { Placement } from "./slot.js";
import { isStraight, type PolicyHead } from "./straight.js";

export interface EncodedBatch {
  /** How many of the calls went in, counted from the first. */
  readonly size: number;
  /** To be sent together in this order, which keeps the order of the calls on each key. */
  readonly parts: readonly BatchPart[];
}

/** One script call. */
export interface BatchPart extends ScriptParts {
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** Indices of its calls in the batch, in the order of the reply; undefined if it has all that were given, as they come. */
  readonly places: readonly number[] | undefined;
}

/** Calls that differ in their keys alone, as the script reads them. */
interface CallGroup {
  readonly call: StoreCall;
  /** Index of its first call in the batch. */
  readonly from: number;
  /** How many calls it has. */
  calls: number;
  /** Of its calls in the batch, if there are others between them. */
  places: number[] | undefined;
  /** Indices of the first call's keys, from 1. */
  readonly first: readonly number[];
  /** Keys from one call to the next; 0 = all on the same. */
  stride: number;
  /** Index of the mark of what gives back; 0 = none. */
  readonly mark: number;
}

/** A part that is being filled. */
interface Draft {
  readonly kind: BatchKind;
  readonly keys: string[];
  readonly groups: CallGroup[];
  /** The last group that began with keys which the part did not have. */
  newest: CallGroup | undefined;
}

/** In the order of their parts. */
const KINDS: readonly BatchKind[] = ["consume", "sets", "any"];
const SETS = 1;
const ANY = 2;

/**
 * Puts as many of `calls` as may go together into keys and arguments; at least one, and no more than there are `maxDebits`
 * for, since that is what takes the server's time. `nowUs` is the injected clock's time, undefined for the server's own;
 * `placement` is undefined without partitions, and a nonce if no client sends a call again: then calls that give back need
 * no mark.
 */
export function encodeBatch(
  calls: readonly StoreCall[],
  maxDebits: number,
  nowUs: number | undefined,
  placement: Placement | undefined,
  nonce: () => string | undefined,
): EncodedBatch {
  const drafts = KINDS.map((kind): Draft => ({ kind, keys: [], groups: [], newest: undefined }));
  const known = new Map<string, number>();
  // Used again for each call.
  const names: string[] = [];
  const first: number[] = [];
  let last: CallGroup | undefined;
  let [size, debits] = [0, 0];
  for (const call of calls) {
    debits += call.debits.length;
    if (size > 0 && debits > maxDebits) break;
    if (last === undefined || !isRepeat(last, call)) {
      nameKeys(call.debits, placement, names);
      const kind = kindOf(call, names, known);
      const draft = drafts[kind] as Draft;
      const isNew = placeOf(names, kind, draft.keys, known, first);
      last =
        groupFor(call, first, isNew, draft) ?? newGroup(call, size, first, isNew, draft, nonce);
    }
    takeIn(last, size);
    size += 1;
  }
  const filled = drafts.filter(({ groups }) => groups.length > 0);
  return { size, parts: filled.map((draft) => partOf(draft, calls.length, nowUs)) };
}

/** Calls that must not be done twice. If a client may send them again, they have one more key: a mark that they were done. */
export function givesBack({ verb }: Pick<StoreCall, "verb">): boolean {
  return verb === VERBS.refund || verb === VERBS.cancel;
}

/** What all the calls do. */
export function verbOf(calls: readonly StoreCall[]): VerbName | "mixed" {
  const [first] = calls;
  if (calls.some(({ verb }) => verb !== first?.verb)) return "mixed";
  const names = Object.keys(VERBS) as VerbName[];
  return names.find((name) => VERBS[name] === first?.verb) ?? "mixed";
}

/** The kind of a call, regardless of other calls. */
function ownKindOf({ verb, debits }: StoreCall): number {
  if (verb !== VERBS.consume) return ANY;
  for (const { rule } of debits) if (!rule.kernel.isOneValue) return ANY;
  return debits.length === 1 ? 0 : SETS;
}

/** Into `names`, which keeps its room: a list of which the length is set to 0 gets a new one with its next item. */
function nameKeys(
  debits: readonly Debit[],
  placement: Placement | undefined,
  names: string[],
): void {
  for (let i = 0; i < debits.length; i++) names[i] = nameOf(debits[i] as Debit, placement);
  if (names.length > debits.length) names.length = debits.length;
}

function nameOf({ keyspace, id }: Debit, placement: Placement | undefined): string {
  if (placement === undefined) return keyNameOf(keyspace.name, id);
  return `${keyspace.name}:${placement.endOf(id)}`;
}

/**
 * A call is of its own kind, unless an earlier one on its keys is of a part that is sent later. The keys of a set must be
 * adjacent, so a set that shares only some of its keys with another goes to the general script.
 */
function kindOf(
  call: StoreCall,
  names: readonly string[],
  known: ReadonlyMap<string, number>,
): number {
  let kind = ownKindOf(call);
  for (const name of names) kind = Math.max(kind, (known.get(name) ?? 0) % KINDS.length);
  if (kind !== SETS) return kind;
  const first = known.get(names[0] as string) ?? 0;
  const isIn = first % KINDS.length === SETS;
  for (let i = 1; i < names.length; i++) {
    const place = known.get(names[i] as string) ?? 0;
    const stands = isIn ? place === first + i * KINDS.length : place % KINDS.length !== SETS;
    if (!stands) return ANY;
  }
  return SETS;
}

/**
 * Finds the indices of a call's keys in its part, or adds them: into `indices`. Whether all of them are new. `known` has
 * the last call on each key: KINDS.length times its index in its part, plus the kind.
 */
function placeOf(
  names: readonly string[],
  kind: number,
  keys: string[],
  known: Map<string, number>,
  indices: number[],
): boolean {
  const before = keys.length;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const at = known.get(name);
    if (at !== undefined && at % KINDS.length === kind) {
      indices[i] = Math.floor(at / KINDS.length);
      continue;
    }
    const index = keys.push(name);
    known.set(name, index * KINDS.length + kind);
    indices[i] = index;
  }
  if (indices.length > names.length) indices.length = names.length;
  return indices[0] === before + 1 && keys.length === before + indices.length;
}

/**
 * The group of the part that takes this call in: the last one or, for a call whose keys are new to the part, one whose calls
 * had keys that were new too, since no call before them is on these.
 */
function groupFor(
  call: StoreCall,
  first: readonly number[],
  isNew: boolean,
  { groups, newest }: Draft,
): CallGroup | undefined {
  const fitting = isNew ? newest : groups.at(-1);
  return fitting !== undefined && joins(fitting, call, first) ? fitting : undefined;
}

/** A group behind all others, for a call that has no place in one of them. */
function newGroup(
  call: StoreCall,
  from: number,
  first: readonly number[],
  isNew: boolean,
  draft: Draft,
  nonce: () => string | undefined,
): CallGroup {
  const { keys, groups } = draft;
  const mark = givesBack(call) ? markOf(keys, first.at(-1) as number, call.nonce ?? nonce()) : 0;
  const group: CallGroup = {
    call,
    from,
    calls: 0,
    places: undefined,
    first: [...first],
    stride: 0,
    mark,
  };
  groups.push(group);
  if (isNew) draft.newest = group;
  return group;
}

/** Adds the call at `place`. Places are listed only if there is a gap, since mostly there is none. */
function takeIn(group: CallGroup, place: number): void {
  if (place !== group.from + group.calls) group.places ??= placesIn(group);
  group.places?.push(place);
  group.calls += 1;
}

/** Where the calls of a part are among those `given`; undefined if it has all of them, as they come. */
function placesOf(groups: readonly CallGroup[], given: number): readonly number[] | undefined {
  let next = 0;
  for (const { from, calls, places } of groups) {
    if (places !== undefined || from !== next) break;
    next += calls;
  }
  if (next === given) return undefined;
  return groups.flatMap(placesIn);
}

function placesIn({ from, calls, places }: CallGroup): number[] {
  return places ?? Array.from({ length: calls }, (_, i) => from + i);
}

/** Adds the key by which a call, whose last key is at `last`, is known to have been done: its index; 0 without a nonce. */
function markOf(keys: string[], last: number, nonce: string | undefined): number {
  return nonce === undefined ? 0 : keys.push(`${keys[last - 1] as string}!${nonce}`);
}

/** Whether `call` is the group's first once more, on the same keys, which are not made again to find out. */
function isRepeat(group: CallGroup, call: StoreCall): boolean {
  if (group.stride !== 0 || !isAlike(group.call, call)) return false;
  const { debits } = group.call;
  for (let i = 0; i < debits.length; i++) {
    const [ours, theirs] = [debits[i] as Debit, call.debits[i] as Debit];
    if (ours.id !== theirs.id || ours.keyspace !== theirs.keyspace) return false;
  }
  return true;
}

/** Whether calls differ in their keys alone. */
function isAlike(a: StoreCall, b: StoreCall): boolean {
  if (a.verb !== b.verb || givesBack(a) || durationUsOf(a) !== durationUsOf(b)) return false;
  if (a.debits.length !== b.debits.length) return false;
  for (let i = 0; i < a.debits.length; i++) {
    const ours = a.debits[i] as Debit;
    const theirs = b.debits[i] as Debit;
    const isSame = ours.rule === theirs.rule || ours.rule.fingerprint === theirs.rule.fingerprint;
    if (!isSame || ours.cost !== theirs.cost) return false;
  }
  return true;
}

/** Whether a call on these keys continues the group, which then has its stride. */
function joins(group: CallGroup, call: StoreCall, keys: readonly number[]): boolean {
  if (!isAlike(group.call, call)) return false;
  const { calls } = group;
  const from = group.first[0] as number;
  const stride = calls === 1 ? (keys[0] as number) - from : group.stride;
  for (let i = 0; i < keys.length; i++) {
    if (keys[i] !== (group.first[i] as number) + stride * calls) return false;
  }
  group.stride = stride;
  return true;
}

/** A call has one duration at most: of the block, or of the longest wait. */
function durationUsOf({ verb, blockUs, maxWaitUs }: StoreCall): number {
  return verb === VERBS.reserve ? maxWaitUs : blockUs;
}

/** The script call of a part. Policies that decide alike are sent once. */
function partOf(
  { kind, keys, groups }: Draft,
  given: number,
  nowUs: number | undefined,
): BatchPart {
  const rules = new Map<string, number>();
  const kernels = new Set<Kernel>();
  const heads: string[] = [];
  const body: string[] = [];
  const indexOf = (rule: Rule): number => {
    const known = rules.get(rule.fingerprint);
    if (known !== undefined) return known;
    heads.push(...policyHeadOf(rule));
    kernels.add(rule.kernel);
    rules.set(rule.fingerprint, rules.size + 1);
    return rules.size;
  };
  for (const group of groups) encodeGroup(group, kind, indexOf, body);
  const args = [nowUs === undefined ? "" : String(nowUs), String(rules.size), ...heads];
  const places = placesOf(groups, given);
  const sequence = kind === "sets" ? sequenceOf(groups) : undefined;
  return { kind, kernels, sequence, keys, args: args.concat(body), places };
}

function sequenceOf(groups: readonly CallGroup[]): readonly PolicyHead[] | undefined {
  const { debits } = (groups[0] as CallGroup).call;
  for (let g = 1; g < groups.length; g++) {
    const others = (groups[g] as CallGroup).call.debits;
    if (others.length !== debits.length) return undefined;
    for (let i = 0; i < debits.length; i++) {
      if (others[i]?.rule.kernel !== debits[i]?.rule.kernel) return undefined;
    }
  }
  const rules = debits.map(({ rule }) => rule);
  return isStraight(rules) ? rules.map(policyHeadOf) : undefined;
}

function encodeGroup(
  { call, calls, first, stride, mark }: CallGroup,
  kind: BatchKind,
  indexOf: (rule: Rule) => number,
  body: string[],
): void {
  const { verb, debits, receipt } = call;
  body.push(String(durationUsOf(call)));
  const isAny = kind === "any";
  if (!isAny) body.push(String(first[0]));
  body.push(String(stride), String(calls));
  if (isAny) body.push(String(verb));
  if (kind !== "consume") body.push(String(debits.length));
  debits.forEach(({ rule, cost }, i) => {
    body.push(String(indexOf(rule)), String(cost));
    if (isAny) body.push(String(first[i]));
  });
  if (givesBack(call)) body.push(String(mark));
  if (receipt !== undefined) {
    body.push(String(receipt.readyAtUs), String(receipt.openedUs), String(receipt.sold));
    for (const { extra, endedUs } of receipt.charges) body.push(String(extra), String(endedUs));
  }
}

const policyHeads = new WeakMap<Rule, PolicyHead>();

/** A policy's tag and numbers, with their count, as text; only calendars change theirs. */
export function policyHeadOf(rule: Rule): PolicyHead {
  let head = policyHeads.get(rule);
  if (head === undefined) {
    const numbers = rule.kernel.numbers(rule.params);
    head = [rule.kernel.tag, String(numbers.length), ...numbers.map(String)];
    if (rule.refresh === undefined) policyHeads.set(rule, head);
  }
  return head;
}
