/**
 * What real services answer, with the page that says so, and how long later calls must wait: worked out by hand from the
 * page and the answer's own Date. Values that a page does not show are made up in its form.
 */
import { expect, test } from "vitest";
import { limitFetch } from "../../src/outgoing/fetch.js";
import { FakeLimiter } from "./fakes.js";

/** The moment of each answer: 2026-11-21T00:00:00Z. */
const DATE = "Sat, 21 Nov 2026 00:00:00 GMT";
const AT = 1_795_219_200;

const GITHUB = "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api";
const GITLAB = "https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/";
const SHOPIFY = "https://shopify.dev/docs/api/admin-rest/usage/rate-limits";
const STRIPE = "https://docs.stripe.com/rate-limits";
const OPENAI = "https://platform.openai.com/docs/guides/rate-limits";
const AZURE =
  "https://learn.microsoft.com/en-us/azure/ai-services/openai/concepts/provisioned-throughput";
const ANTHROPIC = "https://docs.claude.com/en/api/rate-limits";
const DISCORD = "https://docs.discord.com/developers/topics/rate-limits";
const REDDIT = "https://support.reddithelp.com/hc/en-us/articles/16160319875092";
const SLACK = "https://docs.slack.dev/apis/web-api/rate-limits";
const X = "https://docs.x.com/fundamentals/rate-limits";
const CLOUDFLARE = "https://developers.cloudflare.com/fundamentals/api/reference/limits";
const OKTA = "https://developer.okta.com/docs/reference/rl-best-practices/";
const JIRA = "https://developer.atlassian.com/cloud/jira/platform/rate-limiting";
const LINEAR = "https://linear.app/developers/rate-limiting";
const DOCKER = "https://docs.docker.com/docker-hub/usage/";
const DOCKER_API = "https://docs.docker.com/reference/api/hub/latest/";
const LEMLIST = "https://developer.lemlist.com/api-reference/getting-started/rate-limits";
const MAILERLITE = "https://developers-classic.mailerlite.com/docs/api-rate-limits";
const RACHIO = "https://rachio.discoursehosting.net/t/api-rate-limiting-enhancements/10944";
const NESTJS = "https://docs.nestjs.com/security/rate-limiting";
const COSMOS =
  "https://learn.microsoft.com/en-us/rest/api/cosmos-db/common-cosmosdb-rest-response-headers";
const KONG = "https://developer.konghq.com/plugins/rate-limiting/";
const PERSONA = "https://docs.withpersona.com/v2021-07-05/reference/rate-limiting";

type Fields = Readonly<Record<string, string>>;
type Answer = [what: string, page: string, status: number, headers: Fields, waitMs: number];

const ANSWERS: readonly Answer[] = [
  [
    "GitHub: something left",
    GITHUB,
    200,
    {
      "x-ratelimit-limit": "5000",
      "x-ratelimit-remaining": "4999",
      "x-ratelimit-reset": `${AT + 3600}`,
      "x-ratelimit-used": "1",
      "x-ratelimit-resource": "core",
    },
    0,
  ],
  [
    "GitHub: the last of the primary limit",
    GITHUB,
    200,
    {
      "x-ratelimit-limit": "60",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": `${AT + 1234}`,
      "x-ratelimit-used": "60",
    },
    1_234_000,
  ],
  [
    "GitHub: over the primary limit",
    GITHUB,
    403,
    {
      "x-ratelimit-limit": "60",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": `${AT + 42}`,
      "x-ratelimit-used": "60",
    },
    42_000,
  ],
  [
    "GitHub: over a secondary limit",
    GITHUB,
    403,
    { "retry-after": "60", "x-ratelimit-remaining": "14", "x-ratelimit-reset": `${AT + 51}` },
    60_000,
  ],
  ["GitHub: over a secondary limit, with 429", GITHUB, 429, { "retry-after": "30" }, 30_000],
  [
    "GitHub: no permission",
    GITHUB,
    403,
    {
      "x-ratelimit-limit": "5000",
      "x-ratelimit-remaining": "4998",
      "x-ratelimit-reset": `${AT + 3600}`,
    },
    0,
  ],
  [
    "GitLab: over the limit",
    GITLAB,
    429,
    {
      "ratelimit-limit": "60",
      "ratelimit-name": "throttle_authenticated_web",
      "ratelimit-observed": "67",
      "ratelimit-remaining": "0",
      "ratelimit-reset": `${AT + 30}`,
      "ratelimit-resettime": "Sat, 21 Nov 2026 00:00:30 GMT",
      "retry-after": "30",
    },
    30_000,
  ],
  [
    "GitLab: the last call",
    GITLAB,
    200,
    {
      "ratelimit-limit": "600",
      "ratelimit-observed": "600",
      "ratelimit-remaining": "0",
      "ratelimit-reset": `${AT + 57}`,
      "ratelimit-resettime": "Sat, 21 Nov 2026 00:00:57 GMT",
    },
    57_000,
  ],
  [
    "GitLab: only the time as text",
    GITLAB,
    200,
    { "ratelimit-remaining": "0", "ratelimit-resettime": "Sat, 21 Nov 2026 00:01:05 GMT" },
    65_000,
  ],
  [
    "GitLab: an export, whose own limit is not shown",
    GITLAB,
    429,
    {
      "ratelimit-limit": "600",
      "ratelimit-observed": "5",
      "ratelimit-remaining": "595",
      "ratelimit-reset": `${AT + 60}`,
    },
    1000,
  ],
  [
    "Shopify: over the limit",
    SHOPIFY,
    429,
    { "retry-after": "2.0", "x-shopify-shop-api-call-limit": "40/40" },
    2000,
  ],
  ["Shopify: a bucket that leaks", SHOPIFY, 200, { "x-shopify-shop-api-call-limit": "32/40" }, 0],
  [
    "Stripe: over the limit",
    STRIPE,
    429,
    { "stripe-rate-limited-reason": "global-rate", "stripe-should-retry": "true" },
    1000,
  ],
  [
    "Stripe: the server asks to wait",
    STRIPE,
    429,
    { "retry-after": "3", "stripe-rate-limited-reason": "endpoint-rate" },
    3000,
  ],
  [
    "OpenAI: something left",
    OPENAI,
    200,
    {
      "x-ratelimit-limit-requests": "60",
      "x-ratelimit-limit-tokens": "150000",
      "x-ratelimit-remaining-requests": "59",
      "x-ratelimit-remaining-tokens": "149984",
      "x-ratelimit-reset-requests": "1s",
      "x-ratelimit-reset-tokens": "6m0s",
    },
    0,
  ],
  [
    "OpenAI: no tokens left",
    OPENAI,
    200,
    {
      "x-ratelimit-limit-requests": "60",
      "x-ratelimit-limit-tokens": "150000",
      "x-ratelimit-remaining-requests": "59",
      "x-ratelimit-remaining-tokens": "0",
      "x-ratelimit-reset-requests": "1s",
      "x-ratelimit-reset-tokens": "6m0s",
    },
    360_000,
  ],
  [
    "OpenAI: no requests left",
    OPENAI,
    200,
    {
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-remaining-tokens": "5",
      "x-ratelimit-reset-requests": "8.64s",
      "x-ratelimit-reset-tokens": "6m0s",
    },
    8640,
  ],
  [
    "OpenAI: neither left",
    OPENAI,
    429,
    {
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-remaining-tokens": "0",
      "x-ratelimit-reset-requests": "120ms",
      "x-ratelimit-reset-tokens": "17ms",
    },
    120,
  ],
  [
    "OpenAI: over a limit of an hour",
    OPENAI,
    429,
    {
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "1h2m3s",
      "retry-after": "20",
      "retry-after-ms": "20123",
    },
    20_123,
  ],
  [
    "Azure OpenAI: less than a second",
    AZURE,
    429,
    { "retry-after": "1", "retry-after-ms": "503" },
    503,
  ],
  [
    "Azure OpenAI: unlimited",
    AZURE,
    200,
    {
      "x-ratelimit-limit-tokens": "-1",
      "x-ratelimit-remaining-tokens": "-1",
      "x-ratelimit-reset-tokens": "60",
    },
    0,
  ],
  [
    "Anthropic: something left",
    ANTHROPIC,
    200,
    {
      "anthropic-ratelimit-requests-limit": "50",
      "anthropic-ratelimit-requests-remaining": "49",
      "anthropic-ratelimit-requests-reset": "2026-11-21T00:00:01Z",
    },
    0,
  ],
  [
    "Anthropic: no input tokens left",
    ANTHROPIC,
    200,
    {
      "anthropic-ratelimit-requests-remaining": "49",
      "anthropic-ratelimit-requests-reset": "2026-11-21T00:00:01Z",
      "anthropic-ratelimit-input-tokens-limit": "50000",
      "anthropic-ratelimit-input-tokens-remaining": "0",
      "anthropic-ratelimit-input-tokens-reset": "2026-11-21T00:01:00Z",
      "anthropic-ratelimit-output-tokens-remaining": "8000",
      "anthropic-ratelimit-output-tokens-reset": "2026-11-21T00:00:00Z",
    },
    60_000,
  ],
  [
    "Anthropic: over the limit",
    ANTHROPIC,
    429,
    {
      "retry-after": "12",
      "anthropic-ratelimit-requests-remaining": "0",
      "anthropic-ratelimit-requests-reset": "2026-11-21T00:00:11.5Z",
    },
    12_000,
  ],
  [
    "Anthropic: over it, without Retry-After",
    ANTHROPIC,
    429,
    {
      "anthropic-ratelimit-tokens-remaining": "0",
      "anthropic-ratelimit-tokens-reset": "2026-11-21T00:00:11.5Z",
    },
    11_500,
  ],
  [
    "Discord: something left",
    DISCORD,
    200,
    {
      "x-ratelimit-limit": "5",
      "x-ratelimit-remaining": "1",
      "x-ratelimit-reset": `${AT + 1}.123`,
      "x-ratelimit-reset-after": "1",
      "x-ratelimit-bucket": "abcd1234",
    },
    0,
  ],
  [
    "Discord: nothing left",
    DISCORD,
    200,
    {
      "x-ratelimit-limit": "5",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": `${AT + 1}.123`,
      "x-ratelimit-reset-after": "0.736",
      "x-ratelimit-bucket": "abcd1234",
    },
    736,
  ],
  [
    "Discord: a moment with a fraction",
    DISCORD,
    200,
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${AT + 1}.125` },
    1125,
  ],
  [
    "Discord: over the global limit",
    DISCORD,
    429,
    { "retry-after": "65", "x-ratelimit-global": "true", "x-ratelimit-scope": "global" },
    65_000,
  ],
  [
    "Discord: over the limit of a route",
    DISCORD,
    429,
    {
      "retry-after": "0.503",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset-after": "0.503",
      "x-ratelimit-scope": "user",
    },
    503,
  ],
  [
    "Reddit: something left",
    REDDIT,
    200,
    { "x-ratelimit-used": "1", "x-ratelimit-remaining": "598.0", "x-ratelimit-reset": "331" },
    0,
  ],
  [
    "Reddit: nothing left",
    REDDIT,
    200,
    { "x-ratelimit-used": "600", "x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "331" },
    331_000,
  ],
  [
    "Reddit: less than one left",
    REDDIT,
    429,
    { "x-ratelimit-used": "601", "x-ratelimit-remaining": "0.4", "x-ratelimit-reset": "20" },
    20_000,
  ],
  ["Slack: over the limit", SLACK, 429, { "retry-after": "30" }, 30_000],
  [
    "X: something left",
    X,
    200,
    {
      "x-rate-limit-limit": "900",
      "x-rate-limit-remaining": "847",
      "x-rate-limit-reset": `${AT + 900}`,
    },
    0,
  ],
  [
    "X: nothing left",
    X,
    429,
    {
      "x-rate-limit-limit": "900",
      "x-rate-limit-remaining": "0",
      "x-rate-limit-reset": `${AT + 611}`,
    },
    611_000,
  ],
  [
    "X: nothing left of the day",
    X,
    429,
    {
      "x-rate-limit-limit": "900",
      "x-rate-limit-remaining": "899",
      "x-rate-limit-reset": `${AT + 900}`,
      "x-app-limit-24hour-limit": "17",
      "x-app-limit-24hour-remaining": "0",
      "x-app-limit-24hour-reset": `${AT + 3000}`,
      "x-user-limit-24hour-remaining": "16",
      "x-user-limit-24hour-reset": `${AT + 3500}`,
    },
    3_000_000,
  ],
  [
    "Cloudflare: something left",
    CLOUDFLARE,
    200,
    { ratelimit: '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60' },
    0,
  ],
  [
    "Cloudflare: nothing left",
    CLOUDFLARE,
    200,
    { ratelimit: '"default";r=0;t=30', "ratelimit-policy": '"default";q=100;w=60' },
    30_000,
  ],
  [
    "Cloudflare: over the limit",
    CLOUDFLARE,
    429,
    { ratelimit: '"default";r=0;t=30', "retry-after": "31" },
    31_000,
  ],
  [
    "Cloudflare: one of two used up",
    CLOUDFLARE,
    200,
    { ratelimit: '"burst";r=3;t=1, "day";r=0;t=600' },
    600_000,
  ],
  [
    "Okta: something left",
    OKTA,
    200,
    {
      "x-rate-limit-limit": "1200",
      "x-rate-limit-remaining": "1199",
      "x-rate-limit-reset": `${AT + 60}`,
    },
    0,
  ],
  [
    "Okta: over the limit",
    OKTA,
    429,
    {
      "x-rate-limit-limit": "1200",
      "x-rate-limit-remaining": "0",
      "x-rate-limit-reset": `${AT + 37}`,
    },
    37_000,
  ],
  [
    "Okta: too many at a time",
    OKTA,
    429,
    {
      "x-rate-limit-limit": "0",
      "x-rate-limit-remaining": "0",
      "x-rate-limit-reset": `${AT + 10}`,
    },
    10_000,
  ],
  [
    "Jira: over the limit",
    JIRA,
    429,
    {
      "x-ratelimit-limit": "100",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "2026-11-21T00:02Z",
      "ratelimit-reason": "jira-burst-based",
    },
    120_000,
  ],
  [
    "Jira: both",
    JIRA,
    429,
    { "retry-after": "119", "x-ratelimit-reset": "2026-11-21T00:02Z" },
    119_000,
  ],
  ["Jira: a resource is used up", JIRA, 503, { "retry-after": "5" }, 5000],
  [
    "Linear: nothing left, in milliseconds since 1970",
    LINEAR,
    200,
    {
      "x-ratelimit-requests-limit": "1500",
      "x-ratelimit-requests-remaining": "0",
      "x-ratelimit-requests-reset": `${AT}250`,
      "x-ratelimit-complexity-remaining": "9",
      "x-ratelimit-complexity-reset": `${AT + 99}000`,
    },
    250,
  ],
  [
    "Linear: no complexity left",
    LINEAR,
    200,
    {
      "x-ratelimit-requests-remaining": "3",
      "x-ratelimit-requests-reset": `${AT + 9}000`,
      "x-ratelimit-complexity-limit": "250000",
      "x-ratelimit-complexity-remaining": "0",
      "x-ratelimit-complexity-reset": `${AT + 99}000`,
    },
    99_000,
  ],
  [
    "Docker Hub: something left",
    DOCKER,
    200,
    { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" },
    0,
  ],
  [
    "Docker Hub: over the limit, which does not say when it ends",
    DOCKER,
    429,
    { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600" },
    1000,
  ],
  [
    "Docker Hub's API: a moment to come back",
    DOCKER_API,
    429,
    { "x-retry-after": `${AT + 20}` },
    20_000,
  ],
  [
    "lemlist: a date of JavaScript's",
    LEMLIST,
    200,
    {
      "x-ratelimit-limit": "20",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "Sat Nov 21 2026 01:00:02 GMT+0100 (Central European Standard Time)",
    },
    2000,
  ],
  [
    "MailerLite: a date without a zone",
    MAILERLITE,
    429,
    {
      "x-ratelimit-limit": "60",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "2026-11-21 00:00:45",
      "x-ratelimit-retry-after": "45",
    },
    45_000,
  ],
  [
    "Rachio: the midnight to come",
    RACHIO,
    200,
    {
      "x-ratelimit-limit": "1700",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "2026-11-21T00:30:00Z",
    },
    1_800_000,
  ],
  [
    "NestJS: limits with names",
    NESTJS,
    429,
    { "retry-after-long": "40", "retry-after-short": "2" },
    40_000,
  ],
  [
    "NestJS: one of them used up",
    NESTJS,
    200,
    {
      "x-ratelimit-limit-short": "3",
      "x-ratelimit-remaining-short": "0",
      "x-ratelimit-reset-short": "1",
      "x-ratelimit-remaining-long": "97",
      "x-ratelimit-reset-long": "60",
    },
    1000,
  ],
  ["Cosmos DB: milliseconds", COSMOS, 429, { "x-ms-retry-after-ms": "9" }, 9],
  [
    "Kong: limits of a minute and an hour",
    KONG,
    200,
    {
      "x-ratelimit-limit-minute": "5",
      "x-ratelimit-remaining-minute": "4",
      "x-ratelimit-limit-hour": "100",
      "x-ratelimit-remaining-hour": "0",
      "ratelimit-limit": "100",
      "ratelimit-remaining": "0",
      "ratelimit-reset": "1800",
    },
    1_800_000,
  ],
  [
    "Persona: seconds to go",
    PERSONA,
    200,
    { "ratelimit-limit": "300", "ratelimit-remaining": "0", "ratelimit-reset": "53" },
    53_000,
  ],
];

test.each(ANSWERS)("%s (%s)", async (_, page, status, headers, waitMs) => {
  expect(page).toMatch(/^https:\/\//);
  const limiter = new FakeLimiter();
  const send = async (): Promise<Response> =>
    new Response("x", { status, headers: { date: DATE, ...headers } });
  const limited = limitFetch({ limiter, fetch: send, retries: false });
  expect((await limited("https://a.invalid/")).status).toBe(status);
  const blocked = limiter.blocked.map(([key, ms]) => [key, ms]);
  expect(blocked).toEqual(waitMs === 0 ? [] : [["https://a.invalid", waitMs]]);
});

test("twelve services and forty answers at least, none twice", () => {
  const names = ANSWERS.map(([name]) => name);
  expect(new Set(names.map((name) => name.split(":")[0])).size).toBeGreaterThanOrEqual(12);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(40);
});
