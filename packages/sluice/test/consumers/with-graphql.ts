import assert from "node:assert/strict";
import { ApolloServer } from "@apollo/server";
import { envelop, useEngine, useSchema } from "@envelop/core";
import * as graphql from "graphql";
import { createSchema, createYoga, type YogaInitialContext } from "graphql-yoga";
import { RateLimiter, Semaphore, tokenBucket } from "sluice";
import {
  apolloRateLimit,
  type GraphqlOptions,
  rateLimitDirective,
  useRateLimit,
} from "sluice/graphql";

const limiter = new RateLimiter({
  policy: tokenBucket({ name: "cost", limit: 100, period: "1h" }),
});
const search = new RateLimiter({
  policy: tokenBucket({ name: "search", limit: 1, period: "1h" }),
});
const typeDefs = `
  ${rateLimitDirective}
  type Query { hello: String, find: String @rateLimit(limiter: "search") }
`;
const resolvers = { Query: { hello: () => "hello", find: () => "found" } };

interface Context {
  readonly user: string;
}
const schema = createSchema<YogaInitialContext & Context>({ typeDefs, resolvers });

const options: GraphqlOptions<Context> = {
  charge: ({ cost, context }) => [
    { limiter, key: context.user, cost, settle: ({ error }) => (error === undefined ? cost : 0) },
    { limiter: new Semaphore({ limit: 5 }), key: context.user },
  ],
  costs: { "Query.find": 10 },
  limiters: { search },
  key: ({ context }) => context.user,
  onDenied: (_operation, denial) =>
    new graphql.GraphQLError(denial.problem.title, { extensions: { code: "SLOWLY" } }),
};

const yoga = createYoga<object, Context>({
  schema,
  logging: false,
  context: () => ({ user: "yoga" }),
  plugins: [useRateLimit(options)],
});
const ask = (query: string): Response | Promise<Response> =>
  yoga.fetch(`http://localhost/graphql?query=${encodeURIComponent(query)}`);
assert.match((await ask("{ hello find }")).headers.get("RateLimit") ?? "", /"cost";r=89/);
assert.match(await (await ask("{ find }")).text(), /SLOWLY/);

const enveloped = envelop({
  plugins: [useEngine(graphql), useSchema(schema), useRateLimit(options)],
})({ user: "envelop" });
const document = enveloped.parse("{ hello }");
const contextValue = await enveloped.contextFactory();
const result: graphql.ExecutionResult = await enveloped.execute({ schema, document, contextValue });
assert.equal(result.data?.["hello"], "hello");

const apollo = new ApolloServer<Context>({
  typeDefs,
  resolvers,
  plugins: [apolloRateLimit(options)],
});
const answered = await apollo.executeOperation(
  { query: "{ hello }" },
  { contextValue: { user: "apollo" } },
);
assert.equal(answered.body.kind, "single");
await apollo.stop();
