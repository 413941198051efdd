/** What an operation costs, read from its document before anything is executed. */
import type {
  DefinitionNode,
  DirectiveNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLField,
  GraphQLNamedType,
  GraphQLSchema,
  OperationDefinitionNode,
  DocumentNode,
  SelectionNode,
  SelectionSetNode,
} from "graphql";

/** The most that anything costs: no limit is as high. */
export const MOST_COST = 1e9;

/** Beyond this many selections an operation is not read any further: it costs the most. */
const MOST_VISITED = 10_000;

/** A field's `@rateLimit(limiter: ..., cost: ...)`. */
export interface FieldLimit {
  readonly limiter: string;
  readonly cost: number;
}

export interface OperationCost {
  /** Of all its fields, each response key once: an alias is a field more. */
  readonly cost: number;
  /** What its fields with `@rateLimit` cost, by the limiter's name. */
  readonly byLimiter: ReadonlyMap<string, number>;
  /** Whether it is too large to be read, and thus costs the most of everything. */
  readonly isTooLarge: boolean;
}

/** An operation that is about to be executed, valid by its schema. */
export interface WeighedOperation {
  /** The schema that it runs on. */
  readonly schema: GraphQLSchema;
  /** Its parsed document. */
  readonly document: DocumentNode;
  /** The operation of the document that runs. */
  readonly operation: OperationDefinitionNode;
  /** The values of its variables. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** @param costs of fields by coordinate, as "Query.search"; 1 for all others */
export function weigh(
  weighed: WeighedOperation,
  costs: Readonly<Record<string, number>>,
): OperationCost {
  const scale = new Scale(weighed, costs);
  const { cost, byLimiter } = scale.weigh();
  return scale.isTooLarge
    ? { cost: MOST_COST, byLimiter: new Map(), isTooLarge: true }
    : { cost, byLimiter, isTooLarge: false };
}

/** Selections of an object, and the type that they are asked of, as far as it is known. */
interface Selections {
  readonly set: SelectionSetNode;
  readonly parent: GraphQLNamedType | undefined;
}

interface Selected {
  readonly node: FieldNode;
  readonly parent: GraphQLNamedType | undefined;
}

interface Weight {
  readonly cost: number;
  readonly byLimiter: ReadonlyMap<string, number>;
}

interface FieldCost extends Weight {
  /** Of what it holds. */
  readonly type: GraphQLNamedType | undefined;
}

const NOTHING: Weight = { cost: 0, byLimiter: new Map() };

class Scale {
  readonly #weighed: WeighedOperation;
  readonly #costs: Readonly<Record<string, number>>;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** Fragments repeat: what was weighed once is not weighed again, or nested ones would take for ever. */
  readonly #known = new Map<string, Weight>();
  readonly #aboutFields = new Map<string, FieldCost>();
  readonly #ids = new Map<SelectionSetNode, number>();
  #visited = 0;

  constructor(weighed: WeighedOperation, costs: Readonly<Record<string, number>>) {
    this.#weighed = weighed;
    this.#costs = costs;
    for (const definition of weighed.document.definitions) {
      if (isFragment(definition)) this.#fragments.set(definition.name.value, definition);
    }
  }

  get isTooLarge(): boolean {
    return this.#visited > MOST_VISITED;
  }

  weigh(): Weight {
    const { schema, operation } = this.#weighed;
    const parent = schema.getRootType(operation.operation) ?? undefined;
    return this.#weighObject([{ set: operation.selectionSet, parent }]);
  }

  #weighObject(selections: readonly Selections[]): Weight {
    if (this.isTooLarge) return NOTHING;
    const key = selections.map(({ set }) => this.#idOf(set)).join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const byKey = new Map<string, Selected[]>();
    const spread = new Set<string>();
    for (const { set, parent } of selections) this.#collect(set, parent, byKey, spread);
    const weight = sumOf([...byKey.values()].map((fields) => this.#weighField(fields)));
    this.#known.set(key, weight);
    return weight;
  }

  #idOf(set: SelectionSetNode): number {
    const known = this.#ids.get(set);
    if (known !== undefined) return known;
    this.#ids.set(set, this.#ids.size);
    return this.#ids.size - 1;
  }

  /** As execution does: fields of the same response key are one. */
  #collect(
    set: SelectionSetNode,
    parent: GraphQLNamedType | undefined,
    byKey: Map<string, Selected[]>,
    spread: Set<string>,
  ): void {
    for (const selection of set.selections) {
      this.#visited += 1;
      if (this.isTooLarge) return;
      if (this.#isSkipped(selection)) continue;
      if (isField(selection)) {
        const key = selection.alias?.value ?? selection.name.value;
        const others = byKey.get(key);
        if (others === undefined) byKey.set(key, [{ node: selection, parent }]);
        else others.push({ node: selection, parent });
      } else if ("selectionSet" in selection) {
        const type = this.#typeNamed(selection.typeCondition?.name.value) ?? parent;
        this.#collect(selection.selectionSet, type, byKey, spread);
      } else if (!spread.has(selection.name.value)) {
        spread.add(selection.name.value);
        const fragment = this.#fragments.get(selection.name.value);
        if (fragment === undefined) continue;
        const type = this.#typeNamed(fragment.typeCondition.name.value);
        this.#collect(fragment.selectionSet, type, byKey, spread);
      }
    }
  }

  #typeNamed(name: string | undefined): GraphQLNamedType | undefined {
    return name === undefined ? undefined : this.#weighed.schema.getType(name);
  }

  /** Fields of one response key, of which one alone is executed: the most expensive counts. */
  #weighField(fields: readonly Selected[]): Weight {
    let cost = 0;
    const byLimiter = new Map<string, number>();
    const below: Selections[] = [];
    for (const { node, parent } of fields) {
      const about = this.#aboutField(parent, node.name.value);
      cost = Math.max(cost, about.cost);
      raise(byLimiter, about.byLimiter);
      const { selectionSet: set } = node;
      if (set !== undefined) below.push({ set, parent: about.type });
    }
    const inner = below.length === 0 ? NOTHING : this.#weighObject(below);
    return sumOf([{ cost, byLimiter }, inner]);
  }

  /** The highest cost: of the type's field, and of those of the types that its object may really have. */
  #aboutField(parent: GraphQLNamedType | undefined, name: string): FieldCost {
    const coordinate = `${parent?.name ?? ""}.${name}`;
    const known = this.#aboutFields.get(coordinate);
    if (known !== undefined) return known;
    let cost = 0;
    let type: GraphQLNamedType | undefined;
    const byLimiter = new Map<string, number>();
    const { schema } = this.#weighed;
    const within =
      parent !== undefined && "resolveType" in parent ? schema.getPossibleTypes(parent) : [];
    for (const of of [parent, ...within]) {
      cost = Math.max(cost, this.#costs[`${of?.name}.${name}`] ?? (name === "__typename" ? 0 : 1));
      const field = of && fieldOf(of, name);
      if (field === undefined) continue;
      type ??= namedTypeOf(field.type);
      raise(byLimiter, totalsOf(limitsOfField(field)));
    }
    const about = { cost, byLimiter, type };
    this.#aboutFields.set(coordinate, about);
    return about;
  }

  /** Only what is sure to be left out is not counted. */
  #isSkipped({ directives = [] }: SelectionNode): boolean {
    return directives.some((directive) => {
      const { value } = directive.name;
      if (value !== "skip" && value !== "include") return false;
      return this.#conditionOf(directive) === (value === "skip");
    });
  }

  #conditionOf(directive: DirectiveNode): boolean | undefined {
    const value = directive.arguments?.find(({ name }) => name.value === "if")?.value;
    if (value === undefined) return undefined;
    if ("value" in value) return value.value === true;
    if (!("name" in value)) return undefined;
    const name = value.name.value;
    const given = this.#weighed.variables[name] ?? this.#defaultOf(name);
    return typeof given === "boolean" ? given : undefined;
  }

  #defaultOf(name: string): unknown {
    const { variableDefinitions = [] } = this.#weighed.operation;
    const value = variableDefinitions.find(
      ({ variable }) => variable.name.value === name,
    )?.defaultValue;
    return value !== undefined && "value" in value ? value.value : undefined;
  }
}

function isField(node: SelectionNode): node is FieldNode {
  return (node.kind as string) === "Field";
}

function isFragment(node: DefinitionNode): node is FragmentDefinitionNode {
  return (node.kind as string) === "FragmentDefinition";
}

/** Each cost becomes the higher of both. */
function raise(costs: Map<string, number>, others: ReadonlyMap<string, number>): void {
  for (const [limiter, cost] of others) {
    costs.set(limiter, Math.max(costs.get(limiter) ?? 0, cost));
  }
}

function sumOf(weights: readonly Weight[]): Weight {
  let cost = 0;
  const byLimiter = new Map<string, number>();
  for (const weight of weights) {
    cost = plus(cost, weight.cost);
    for (const [limiter, more] of weight.byLimiter) {
      byLimiter.set(limiter, plus(byLimiter.get(limiter) ?? 0, more));
    }
  }
  return { cost, byLimiter };
}

function plus(a: number, b: number): number {
  return Math.min(MOST_COST, a + b);
}

function totalsOf(limits: readonly FieldLimit[]): ReadonlyMap<string, number> {
  const totals = new Map<string, number>();
  for (const { limiter, cost } of limits) {
    totals.set(limiter, plus(totals.get(limiter) ?? 0, cost));
  }
  return totals;
}

/** A field of any schema. */
export type SchemaField = GraphQLField<unknown, unknown>;

function fieldOf(type: GraphQLNamedType, name: string): SchemaField | undefined {
  if (!("getFields" in type)) return undefined;
  const fields: Readonly<Record<string, unknown>> = type.getFields();
  return Object.hasOwn(fields, name) ? (fields[name] as SchemaField) : undefined;
}

function namedTypeOf(type: SchemaField["type"]): GraphQLNamedType {
  let named: unknown = type;
  while (typeof named === "object" && named !== null && "ofType" in named) named = named.ofType;
  return named as GraphQLNamedType;
}

const DIRECTIVE = "rateLimit";
const limitsOfFields = new WeakMap<SchemaField, readonly FieldLimit[]>();

/** What `@rateLimit` says of a field: in the schema's text, or as `extensions.directives` if the schema is made by code. */
export function limitsOfField(field: SchemaField): readonly FieldLimit[] {
  const known = limitsOfFields.get(field);
  if (known !== undefined) return known;
  const written = (field.astNode?.directives ?? [])
    .filter(({ name }) => name.value === DIRECTIVE)
    .map((directive) => limitOf(Object.fromEntries(argumentsOf(directive))));
  const { directives } = field.extensions as {
    readonly directives?: Readonly<Record<string, unknown>>;
  };
  const made = [directives?.[DIRECTIVE] ?? []].flat().map(limitOf);
  const limits = written.length > 0 ? written : made;
  limitsOfFields.set(field, limits);
  return limits;
}

function argumentsOf(directive: DirectiveNode): readonly (readonly [string, unknown])[] {
  return (directive.arguments ?? []).map(({ name, value }) => {
    const given = "value" in value ? value.value : undefined;
    return [name.value, name.value === "cost" ? Number(given) : given];
  });
}

function limitOf(given: { readonly limiter?: unknown; readonly cost?: unknown }): FieldLimit {
  return {
    limiter: String(given.limiter),
    cost: given.cost === undefined ? 1 : Number(given.cost),
  };
}
