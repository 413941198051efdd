import { expect, test } from "vitest";
import { tokenBucket } from "sluice";
import { recordLine } from "sluice/audit";
import { fakeProcess } from "../../../test/io.js";
import { auditCommand } from "./audit.js";

const START_US = 1_767_225_600_000_000;
const HEAD = `{"sluice":1,"attempts":{"session":"a","part":1,"sample":1}}
${JSON.stringify({ rule: 1, limiter: "api", policy: tokenBucket({ limit: 2, period: "1h" }) })}
`;

/** An allowed call of one unit. */
function took(atUs: number, remaining: number): string {
  const rule = { rule: 1, limiter: "api", policy: "token-bucket" };
  return recordLine(
    { key: "k", cost: 1, rule },
    {
      allowed: true,
      reason: "ok",
      limit: 2,
      remaining,
      retryAfterMs: 0,
      windowMs: 3_600_000,
      resetAfterMs: (2 - remaining) * 1_800_000,
      decidedAtUs: START_US + atUs,
      policy: "token-bucket",
      source: "store",
    },
  );
}

/** Three units, where two fit. */
const THREE = took(0, 1) + took(0, 0) + took(1, 0);

test("the report says what was read, what is missing, and where more was given than there was", async () => {
  const said = fakeProcess({ stdin: `${HEAD}${THREE}{"at` });
  expect(await auditCommand.run(["-"], said.io)).toBe(1);
  const text = said.stdout();
  for (const part of [
    "read      3 attempts on 1 key from 1 file of 1 process run\n",
    'policy    api: token-bucket "token-bucket": 2 per 1 h, burst 2\n',
    "replay    2 decisions are the kernel's own\n",
    "note      without its beginning or its end: 1 process run; killed, still running, or a file is not here\n",
    "note      cut short at the end of a file: 1 line\n",
    '✗ bound of "token-bucket"  is refuted',
    "✗ replay is refuted at (standard input):5: more was given than there was\n",
    "logged  allowed, reason ok, granted 1",
    "kernel  denied, reason quota, granted 0",
    "REFUTED on 1 of 1 key\n",
  ]) {
    expect(text).toContain(part);
  }
});
