/** A batch for the script: calls become keys and arguments, as the heads of scripts/*.lua describe them. */
import { VERBS } from "../../algorithms/decide.js";
import type { Kernel } from "../../algorithms/kernel.js";
import type { Rule } from "../../algorithms/rule.js";
import { keyNameOf } from "../../core/identity.js";
import type { BatchKind } from "./scripts.js";
import type { Debit, StoreCall } from "../store.js";
import type { Placement } from "./slot.js";

export interface EncodedBatch {
  /** How many of the calls went in: the first so many. */
  readonly size: number;
  readonly kind: BatchKind;
  readonly kernels: ReadonlySet<Kernel>;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** Calls that differ in their keys alone, as the script reads them. */
interface CallGroup {
  readonly call: StoreCall;
  /** Index of the first call's first key, from 1. */
  readonly first: number;
  /** Keys from one call to the next; 0 = all on the same. */
  stride: number;
  calls: number;
  /** Index of the mark of what gives back; 0 = none. */
  readonly mark: number;
}

/**
 * Puts as many of `calls` as one script call can take into its keys and arguments; at least one, and no more
 * than there are `maxDebits` for, since that is what takes the server's time.
 * `nowUs` is the injected clock's time, undefined for the server's own; `placement` is undefined without partitions, and
 * a nonce where no client sends a call again: then what gives back needs no mark.
 */
export function encodeBatch(
  calls: readonly StoreCall[],
  maxDebits: number,
  nowUs: number | undefined,
  placement: Placement | undefined,
  nonce: () => string | undefined,
): EncodedBatch {
  const keys: string[] = [];
  const places = new Map<string, KeyPlace>();
  const groups: CallGroup[] = [];
  let last: CallGroup | undefined;
  let [size, debits] = [0, 0];
  let kind: BatchKind = "consume";
  for (const call of calls) {
    debits += call.debits.length;
    if (size > 0 && debits > maxDebits) break;
    if (last !== undefined && isRepeat(last, call)) {
      last.calls += 1;
      size += 1;
      continue;
    }
    const first = keyPlaceOf(call, keys, places, placement);
    if (first === 0) break;
    if (last === undefined || !joins(last, call, first)) {
      const end = first + call.debits.length - 1;
      const mark = givesBack(call) ? markOf(keys, end, nonce()) : 0;
      last = { call, first, stride: 0, calls: 1, mark };
      groups.push(last);
    }
    if (kind !== "any") kind = kindWith(kind, call);
    size += 1;
  }
  const rules = new Map<Rule, number>();
  const body: string[] = [];
  for (const group of groups) encodeGroup(group, kind, rules, body);
  const args = [nowUs === undefined ? "" : String(nowUs), String(rules.size)];
  const kernels = new Set<Kernel>();
  for (const rule of rules.keys()) {
    args.push(...policyHeadOf(rule));
    kernels.add(rule.kernel);
  }
  return { size, kind, kernels, keys, args: args.concat(body) };
}

/** Adds the key by which a call, whose last key is at `last`, is known to have been done: its index; 0 without a nonce. */
function markOf(keys: string[], last: number, nonce: string | undefined): number {
  return nonce === undefined ? 0 : keys.push(`${keys[last - 1] as string}!${nonce}`);
}

/** Calls that must not be done twice. Where a client may send them again, they have one more key, of their own. */
export function givesBack({ verb }: Pick<StoreCall, "verb">): boolean {
  return verb === VERBS.refund || verb === VERBS.cancel;
}

/** What a batch of this kind is with one more call. */
function kindWith(kind: BatchKind, { verb, debits }: StoreCall): BatchKind {
  if (verb !== VERBS.consume) return "any";
  for (const { rule } of debits) if (!rule.kernel.isOneValue) return "any";
  return debits.length === 1 ? kind : "sets";
}

function nameOf({ keyspace, id }: Debit, placement: Placement | undefined): string {
  if (placement === undefined) return keyNameOf(keyspace.name, id);
  return `${keyspace.name}:${placement.endOf(id)}`;
}

/** A key of the batch, by its index from 1, and the call that brought it. */
interface KeyPlace {
  readonly index: number;
  readonly debits: readonly Debit[];
}

/**
 * Index of the first of a call's keys, which follow each other. A call on keys of earlier calls shares
 * their place only if it has the same keys under the same options, for the script reads a state once, and
 * a call that changes nothing still brings it to its own time and options. Any other waits for the next
 * batch: 0.
 */
function keyPlaceOf(
  call: StoreCall,
  keys: string[],
  places: Map<string, KeyPlace>,
  placement: Placement | undefined,
): number {
  const { debits } = call;
  const names = debits.map((debit) => nameOf(debit, placement));
  const place = places.get(names[0] as string);
  if (place === undefined) {
    for (const name of names) if (places.has(name)) return 0;
    const first = keys.length + 1;
    for (const name of names) places.set(name, { index: keys.push(name), debits });
    return first;
  }
  if (place.debits.length !== debits.length) return 0;
  const isSame = debits.every(({ rule }, i) => {
    const before = place.debits[i] as Debit;
    return (
      places.get(names[i] as string)?.index === place.index + i &&
      rule.fingerprint === before.rule.fingerprint
    );
  });
  return isSame ? place.index : 0;
}

/** Whether `call` is the group's first once more, on the same keys, which are not made again to find out. */
function isRepeat(group: CallGroup, call: StoreCall): boolean {
  if (group.stride !== 0 || !isAlike(group.call, call)) return false;
  return call.debits.every((debit, i) => {
    const before = group.call.debits[i] as Debit;
    return debit.id === before.id && debit.keyspace === before.keyspace;
  });
}

/** Whether calls differ in their keys alone. */
function isAlike(a: StoreCall, b: StoreCall): boolean {
  if (a.verb !== b.verb || givesBack(a) || durationUsOf(a) !== durationUsOf(b)) return false;
  if (a.debits.length !== b.debits.length) return false;
  for (let i = 0; i < a.debits.length; i++) {
    const ours = a.debits[i] as Debit;
    const theirs = b.debits[i] as Debit;
    if (ours.rule !== theirs.rule || ours.cost !== theirs.cost) return false;
  }
  return true;
}

/** Takes `call` into the group if it is one more of the same kind. */
function joins(group: CallGroup, call: StoreCall, first: number): boolean {
  if (!isAlike(group.call, call)) return false;
  const stride = group.calls === 1 ? first - group.first : group.stride;
  if (stride !== 0 && stride !== call.debits.length) return false;
  if (first !== group.first + stride * group.calls) return false;
  group.stride = stride;
  group.calls += 1;
  return true;
}

/** A call has one duration at most: of the block, or of the longest wait. */
function durationUsOf({ verb, blockUs, maxWaitUs }: StoreCall): number {
  return verb === VERBS.reserve ? maxWaitUs : blockUs;
}

function encodeGroup(
  { call, first, stride, calls, mark }: CallGroup,
  kind: BatchKind,
  rules: Map<Rule, number>,
  body: string[],
): void {
  const { verb, debits, receipt } = call;
  body.push(String(durationUsOf(call)), String(first), String(stride), String(calls));
  if (kind === "any") body.push(String(verb));
  if (kind !== "consume") body.push(String(debits.length));
  for (const { rule, cost } of debits) {
    let index = rules.get(rule);
    if (index === undefined) {
      index = rules.size + 1;
      rules.set(rule, index);
    }
    body.push(String(index), String(cost));
  }
  if (givesBack(call)) body.push(String(mark));
  if (receipt !== undefined) {
    body.push(String(receipt.readyAtUs), String(receipt.openedUs), String(receipt.sold));
    for (const { extra, endedUs } of receipt.charges) body.push(String(extra), String(endedUs));
  }
}

const policyHeads = new WeakMap<Rule, readonly string[]>();

/** A policy's tag and numbers, with their count, as text; only calendars change theirs. */
function policyHeadOf(rule: Rule): readonly string[] {
  let head = policyHeads.get(rule);
  if (head === undefined) {
    const numbers = rule.kernel.numbers(rule.params);
    head = [rule.kernel.tag, String(numbers.length), ...numbers.map(String)];
    if (rule.refresh === undefined) policyHeads.set(rule, head);
  }
  return head;
}
