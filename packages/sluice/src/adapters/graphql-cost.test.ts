/** What operations cost: response keys, fragments, types that are not known yet, and operations made to be expensive. */
import { buildSchema, type OperationDefinitionNode, parse } from "graphql";
import { describe, expect, test } from "vitest";
import { limitsOfField, MOST_COST, type OperationCost, weigh } from "./graphql-cost.js";
import { rateLimitDirective } from "./graphql.js";

const schema = buildSchema(`
  ${rateLimitDirective}
  interface Node { id: ID, parent: Node }
  type User implements Node { id: ID, parent: Node @rateLimit(limiter: "deep", cost: 2), name: String, friends: [User!]! }
  type Post implements Node { id: ID @rateLimit(limiter: "posts"), parent: Node, title: String }
  union Found = User | Post
  type Query { user: User, node: Node, found: [Found], search: [Found] @rateLimit(limiter: "s", cost: 5) }
`);

function costOf(
  query: string,
  { variables = {}, costs = {} }: { variables?: object; costs?: Record<string, number> } = {},
): OperationCost {
  const document = parse(query);
  const operation = document.definitions.find(
    (node): node is OperationDefinitionNode => (node.kind as string) === "OperationDefinition",
  );
  if (operation === undefined) throw new Error("no operation");
  return weigh({ schema, document, operation, variables: { ...variables } }, costs);
}

describe("a field counts", () => {
  test.each<[string, string, number]>([
    ["once", "{ user { name } }", 2],
    ["once where it is asked for twice by the same key", "{ user { name } user { name id } }", 3],
    ["again for each alias", "{ a: user { name } b: user { name } }", 4],
    ["in fragments", "{ user { ...F ... { id } } } fragment F on User { name }", 3],
    [
      "once where a fragment is spread twice",
      "{ user { ...F ...F } } fragment F on User { name }",
      2,
    ],
    ["but for its type's name", "{ user { __typename } }", 1],
    ["of introspection too", "{ __schema { types { name } } }", 3],
    [
      "for whichever type an object turns out to have",
      "{ found { ... on User { x: name } ... on Post { x: title y: id } } }",
      3,
    ],
    [
      "but where it is skipped",
      "{ user @skip(if: true) { name } node @include(if: false) { id } }",
      0,
    ],
    [
      "where it is not skipped",
      "{ user @skip(if: false) { name } node @include(if: true) { id } }",
      4,
    ],
  ])("%s", (_, query, cost) => {
    expect(costOf(query).cost).toBe(cost);
  });

  test("by what its variables say, else by their defaults", () => {
    const query =
      "query ($a: Boolean!, $b: Boolean = true) { user @skip(if: $a) { id } node @skip(if: $b) { id } }";
    expect(costOf(query, { variables: { a: true } }).cost).toBe(0);
    expect(costOf(query, { variables: { a: false } }).cost).toBe(2);
    expect(costOf(query, { variables: { a: false, b: false } }).cost).toBe(4);
    // It is an error of execution: whatever it counts, it counts something.
    expect(costOf(query).cost).toBe(2);
  });

  test("as the option says, the dearest of the types that it may be of", () => {
    const costs = { "Query.user": 10, "User.name": 0.5, "User.id": 7, "Post.id": 3 };
    expect(costOf("{ user { name } }", { costs }).cost).toBe(10.5);
    expect(costOf("{ node { id } }", { costs }).cost).toBe(8);
    expect(costOf("{ node { ... on Post { id } } }", { costs }).cost).toBe(4);
  });
});

describe("a limiter is charged", () => {
  test.each<[string, string, Record<string, number>]>([
    [
      "for each key of a field that names it",
      "{ a: search { __typename } b: search { __typename } }",
      { s: 10 },
    ],
    ["nothing where none is asked for", "{ user { name } }", {}],
    [
      "for a field of a type that may be meant",
      "{ node { parent { id } } }",
      { deep: 2, posts: 1 },
    ],
    [
      "for a field of the type that is meant",
      "{ node { ... on Post { parent { parent { title: id } } } } }",
      { deep: 2, posts: 1 },
    ],
  ])("%s", (_, query, expected) => {
    expect(Object.fromEntries(costOf(query).byLimiter)).toEqual(expected);
  });

  test("as code-first schemas say it", () => {
    const { search } = schema.getQueryType()?.getFields() ?? {};
    if (search === undefined) throw new Error("no field");
    const made = (rateLimit: unknown): typeof search => ({
      ...search,
      astNode: undefined,
      extensions: { directives: { rateLimit } },
    });
    expect(limitsOfField(made({ limiter: "a", cost: 2 }))).toEqual([{ limiter: "a", cost: 2 }]);
    expect(limitsOfField(made([{ limiter: "a" }, { limiter: "b" }]))).toEqual([
      { limiter: "a", cost: 1 },
      { limiter: "b", cost: 1 },
    ]);
  });
});

describe("an operation that is made to be expensive", () => {
  test("by fragments within fragments costs what it would, and is weighed at once", () => {
    const fragment = (i: number): string =>
      `fragment F${i} on User { a: friends { ...F${i + 1} } b: friends { ...F${i + 1} } }`;
    const fragments = Array.from({ length: 40 }, (_, i) => fragment(i)).join("\n");
    const { cost, isTooLarge } = costOf(
      `{ user { ...F0 } } ${fragments} fragment F40 on User { name }`,
    );
    expect([cost, isTooLarge]).toEqual([MOST_COST, false]);
  });

  test("by its mere size is read no further, and costs the most", () => {
    const fields = Array.from({ length: 12_000 }, (_, i) => `a${i}: user { id }`).join(" ");
    expect(costOf(`{ ${fields} }`)).toMatchObject({ cost: MOST_COST, isTooLarge: true });
  });

  test("by fragments that repeat in ever new company ends", () => {
    const parts = Array.from({ length: 24 }, (_, i) => {
      const next = i + 1;
      return `fragment A${i} on User { x: friends { ...A${next} ...B${next} } y: friends { ...B${next} } }
        fragment B${i} on User { x: friends { ...B${next} } y: friends { ...A${next} ...B${next} } }`;
    }).join("\n");
    const last = "fragment A24 on User { name } fragment B24 on User { id }";
    expect(costOf(`{ user { ...A0 ...B0 } } ${parts} ${last}`).cost).toBeGreaterThan(1e6);
  });
});
