// Counts what clients ask for by its cost: a field is a unit, a search five more of a limit of its own.
import { once } from "node:events";
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { RateLimiter, tokenBucket } from "sluice";
import { addressKey } from "sluice/http";
import { rateLimitDirective, useRateLimit } from "sluice/graphql";

const fields = new RateLimiter({
  policy: tokenBucket({ name: "fields", limit: 1000, period: "1m" }),
});
const search = new RateLimiter({
  policy: tokenBucket({ name: "search", limit: 10, period: "1h" }),
});

const schema = createSchema({
  typeDefs: `
    ${rateLimitDirective}
    type Query {
      hello: String
      find(text: String!): [String!] @rateLimit(limiter: "search", cost: 5)
    }
  `,
  resolvers: { Query: { hello: () => "hello", find: () => [] } },
});
const yoga = createYoga({
  schema,
  plugins: [
    useRateLimit({
      charge: ({ cost }, { address }) => ({
        limiter: fields,
        key: address && addressKey(address),
        cost,
      }),
      // By the client's address too.
      limiters: { search },
    }),
  ],
});

const server = createServer((request, response) => void yoga(request, response));
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`listening on http://127.0.0.1:${port}`);
process.once("SIGTERM", () => server.close());
