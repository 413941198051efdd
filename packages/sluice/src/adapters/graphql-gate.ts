/** What the plugins of all GraphQL servers share: an operation, its charges, and the error that refuses it. */
import type { GraphQLSchema } from "graphql";
import { toThousandths } from "../core/amount.js";
import { InvalidOptionError } from "../core/errors.js";
import { byDefault, checkFunction, optional, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { addressKey } from "../http/address.js";
import { type AnswerFields, writeFields } from "../http/answer.js";
import type { HttpCall, HttpOutcome } from "../http/call.js";
import { by, type Charge, type ChargeFunction, type Charges, type Falsy } from "../http/charge.js";
import { chargeableOf, type Limit } from "../http/chargeable.js";
import type { Denial } from "../http/denial.js";
import { createGate, type Gate, HTTP_OPTIONS, type HttpOptions } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import type { Fields } from "../headers/field-writers.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import {
  type SchemaField,
  limitsOfField,
  MOST_COST,
  type OperationCost,
  weigh,
  type WeighedOperation,
} from "./graphql-cost.js";
import { checkLimiters, checkNamed, limiterNamed, type NamedLimiters } from "./named-limiters.js";

/** An operation that is about to be executed. */
export interface GraphqlOperation<Context = unknown> extends WeighedOperation {
  /** What the server gives to resolvers. */
  readonly context: Context;
  /**
   * How many fields it asks for, or what the option `costs` says of them. Read from the document: of a list one item
   * counts, of an alias each. 1e9 for one that is too large to be read.
   */
  readonly cost: number;
}

/** As of every adapter, for operations instead of requests. */
export interface GraphqlOptions<Context = unknown>
  extends Omit<HttpOptions<GraphqlOperation<Context>>, "charge" | "onDenied"> {
  /** What an operation is charged, beside what its fields with `@rateLimit` are; default: nothing. */
  readonly charge?: ChargeFunction<GraphqlOperation<Context>> | undefined;
  /** What fields count in `operation.cost`, by coordinate: `{ "Query.search": 10 }`; default 1. */
  readonly costs?: Readonly<Record<string, number>> | undefined;
  /** The limiters that `@rateLimit(limiter: ...)` names. */
  readonly limiters?: NamedLimiters | undefined;
  /** Who pays for fields with `@rateLimit`; default: the client's address. */
  readonly key?:
    | ((operation: GraphqlOperation<Context>, call: HttpCall) => string | undefined)
    | undefined;
  /** Makes the error that refuses an operation; its `extensions` are what the client sees. */
  readonly onDenied?: ((operation: GraphqlOperation<Context>, denial: Denial) => Error) | undefined;
}

/** To be put into a schema whose fields say `@rateLimit(limiter: "search", cost: 5)`. */
export const rateLimitDirective =
  "directive @rateLimit(limiter: String!, cost: Float = 1) repeatable on FIELD_DEFINITION";

const OPTIONS = optionReader<GraphqlOptions<never>>()({
  ...HTTP_OPTIONS.checks,
  charge: optional(checkFunction),
  costs: byDefault({}, checkCosts),
  limiters: (_option, limiters) => checkLimiters(limiters as NamedLimiters | undefined),
  key: optional(checkFunction),
});

function checkCosts(option: string, costs: unknown): Readonly<Record<string, unknown>> {
  const named = checkNamed(option, costs);
  for (const [name, cost] of Object.entries(named)) checkCost(`${option}.${name}`, cost);
  return named;
}

/** The outcome of an operation's charges. */
export interface OperationPass extends Pass {
  /** Set if it is refused. */
  readonly error: Error | undefined;
}

export class OperationGate<Context> {
  readonly #options: GraphqlOptions<Context>;
  readonly #limiters: ReadonlyMap<string, RateLimiter | Semaphore>;
  readonly #gate: Gate<WeighedLate<Context>>;
  readonly #checked = new WeakSet<GraphQLSchema>();

  readonly #headersOf: (fields: Fields) => { readonly headers?: Readonly<Record<string, string>> };

  /**
   * @param headersOf how an error tells the server which fields to send; nothing if the plugin sends them itself
   * @throws InvalidOptionError
   */
  constructor(
    given: Limit | GraphqlOptions<Context>,
    headersOf: (fields: Fields) => {
      readonly headers?: Readonly<Record<string, string>>;
    } = () => ({}),
  ) {
    this.#headersOf = headersOf;
    const options =
      chargeableOf(given) === undefined
        ? (given as GraphqlOptions<Context>)
        : { charge: by.address(given as Limit) };
    const { limiters } = OPTIONS.read(options);
    const {
      charge,
      costs: _costs,
      limiters: _limiters,
      key: _key,
      onDenied: _,
      ...shared
    } = options;
    if (charge === undefined && options.limiters === undefined) {
      throw new InvalidOptionError("charge", charge, "a function, unless there are limiters");
    }
    this.#options = options;
    this.#limiters = limiters;
    this.#gate = createGate<WeighedLate<Context>>({
      ...shared,
      charge: async (operation, call) => {
        const own = charge === undefined ? [] : chargesIn(await charge(operation, call));
        return [...own, ...this.#ofFields(operation, call)].reduce<readonly Charge[]>(together, []);
      },
    });
  }

  /**
   * Whether the limiters are there that a schema names, and its costs are some; of no concern to a plugin without any.
   *
   * @throws InvalidOptionError
   */
  check(schema: GraphQLSchema): void {
    if (this.#options.limiters === undefined || this.#checked.has(schema)) return;
    for (const type of Object.values(schema.getTypeMap())) {
      if (!("getFields" in type)) continue;
      // An input's field has none, because the directive is not allowed on it.
      for (const field of Object.values<unknown>(type.getFields()) as readonly SchemaField[]) {
        for (const { limiter, cost } of limitsOfField(field)) {
          limiterNamed(this.#limiters, limiter);
          checkCost(`@rateLimit of ${type.name}.${field.name}: cost`, cost);
        }
      }
    }
    this.#checked.add(schema);
  }

  async enter(
    { schema, document, operation, variables }: WeighedOperation,
    context: Context,
    call: HttpCall,
  ): Promise<OperationPass> {
    this.check(schema);
    const { costs = {}, onDenied } = this.#options;
    const weighed = { schema, document, operation, variables };
    const about = new WeighedLate(weighed, context, costs);
    const pass = await this.#gate.enter(about, call);
    if (pass.denial === undefined) return { ...pass, error: undefined };
    const error =
      onDenied?.(about, pass.denial) ??
      new RateLimitedError(pass.denial, this.#headersOf(pass.fields));
    return { ...pass, error };
  }

  #ofFields(operation: WeighedLate<Context>, call: HttpCall): readonly Charge[] {
    if (this.#limiters.size === 0) return [];
    const { byLimiter, isTooLarge } = operation.weight;
    const costs = isTooLarge
      ? [...this.#limiters.keys()].map((name) => [name, MOST_COST] as const)
      : [...byLimiter].filter(([, cost]) => cost > 0);
    if (costs.length === 0) return [];
    const { key: keyOf } = this.#options;
    const key =
      keyOf === undefined ? call.address && addressKey(call.address) : keyOf(operation, call);
    return costs.map(([name, cost]) => ({
      limiter: limiterNamed(this.#limiters, name),
      key,
      cost,
    }));
  }
}

/** Weighed at the first read: a charge by operation alone need not weigh it. */
class WeighedLate<Context> implements GraphqlOperation<Context> {
  readonly schema;
  readonly document;
  readonly operation;
  readonly variables;
  readonly context: Context;
  readonly #costs: Readonly<Record<string, number>>;
  #weight: OperationCost | undefined;

  constructor(
    { schema, document, operation, variables }: WeighedOperation,
    context: Context,
    costs: Readonly<Record<string, number>>,
  ) {
    this.schema = schema;
    this.document = document;
    this.operation = operation;
    this.variables = variables;
    this.context = context;
    this.#costs = costs;
  }

  get weight(): OperationCost {
    this.#weight ??= weigh(this, this.#costs);
    return this.#weight;
  }

  get cost(): number {
    return this.weight.cost;
  }
}

function chargesIn(charges: Charges): readonly Charge[] {
  const list: readonly (Charge | Falsy)[] = Array.isArray(charges) ? charges : [charges];
  return list.filter((charge): charge is Charge => Boolean(charge));
}

function checkCost(option: string, cost: unknown): void {
  toThousandths(option, withoutText(cost), 0, MOST_COST);
}

/** A limiter that is charged twice for the same key is charged once for both; of rules each charge has its own entries. */
function together(charges: readonly Charge[], more: Charge): readonly Charge[] {
  const i = charges.findIndex(
    ({ limiter, key, slot, entries }) =>
      limiter === more.limiter && key === more.key && slot === more.slot && entries === undefined,
  );
  const same = charges[i];
  if (same === undefined) return [...charges, more];
  return charges.with(i, { ...same, cost: (same.cost ?? 1) + (more.cost ?? 1) });
}

/**
 * An error that servers take for one of graphql's own, which they show to clients: by its name, since graphql itself is
 * not imported. Yoga and Apollo answer with its status.
 */
class RateLimitedError extends Error {
  override readonly name = "GraphQLError";
  readonly extensions: Readonly<Record<string, unknown>>;

  constructor({ status, retryAfterMs, problem }: Denial, http: object) {
    super(problem.title);
    this.extensions = {
      code: "RATE_LIMITED",
      ...(Number.isFinite(retryAfterMs) && { retryAfterMs }),
      http: { status, ...http },
    };
  }

  /** As graphql writes its own, but for what is the server's alone. */
  toJSON(): { readonly message: string; readonly extensions: Readonly<Record<string, unknown>> } {
    const { http: _, ...extensions } = this.extensions;
    return { message: this.message, extensions };
  }
}

/** By its first error; GraphQL has no other status. */
export function outcomeOf(result: unknown): Omit<HttpOutcome, "aborted"> {
  const { errors = [] } = (result ?? {}) as { readonly errors?: readonly unknown[] };
  const [error] = errors;
  if (error === undefined) return { status: 200 };
  const { extensions } = error as {
    readonly extensions?: { readonly http?: { status?: unknown } };
  };
  const status = extensions?.http?.status;
  return { status: typeof status === "number" ? status : 200, error };
}

/**
 * Writes fields of an operation over those of this plugin's other operations of the same request, and behind those of
 * others, such as another plugin with its own limits.
 */
export class OwnFields {
  /** By answer, and by name: what this plugin wrote there last. */
  readonly #written = new WeakMap<object, Map<string, string>>();

  write(fields: Fields, answer: AnswerFields): void {
    // The server itself may have written those of an error's extensions.
    const own = this.#written.get(answer) ?? new Map(fields);
    this.#written.set(answer, own);
    writeFields(fields, {
      get: (name) => without(own.get(name), answer.get(name)),
      set: (name, value) => {
        answer.set(name, value);
      },
    });
    for (const [name, value] of fields) own.set(name, value);
  }
}

/** A list without the items of a plugin; null if nothing else was in it. */
function without(
  items: string | undefined,
  list: string | null | undefined,
): string | null | undefined {
  if (items === undefined || !list) return list;
  const [before = "", behind] = `, ${list}, `.split(`, ${items}, `, 2);
  if (behind === undefined) return list;
  return [before.slice(2), behind.slice(0, -2)].filter((part) => part !== "").join(", ") || null;
}
