/** The panels of the board and the alerts, as scripts/board.mjs writes them. */

/** @typedef {(name: string) => string} NameOf The name in Prometheus of a metric of the list; throws if it has none. */
/** @typedef {{ title: string, about: string, unit?: string, type?: string, width?: number, targets: readonly (readonly [string, string])[] }} Panel */
/** @typedef {{ alert: string, expr: string, for: string, summary: string, todo: string }} Alert */

const WITHOUT_STORE = 'source=~"local|fail-open|fail-closed|fallback"';
const BY_STORE = 'source!~"local|fail-open|fail-closed|fallback"';
const chosen = 'limiter=~"$limiter"';
const rate = (/** @type {string} */ selector) => `rate(${selector}[$__rate_interval])`;

/** @param {NameOf} nameOf @returns {Panel[]} */
export function panels(nameOf) {
  return [decisionPanels, rulePanels, documentPanels, storePanels, waitPanels].flatMap((some) =>
    some(nameOf),
  );
}

/** What is decided. @param {NameOf} nameOf @returns {Panel[]} */
function decisionPanels(nameOf) {
  const decisions = nameOf("sluice.decisions");
  return [
    {
      title: "Decisions a second",
      about:
        "Is it blocking, and is the store asked? Everything but allowed and denied deserves a look.",
      unit: "reqps",
      type: "stacked",
      targets: [
        [`sum(${rate(`${decisions}{${chosen},outcome="allowed",${BY_STORE}}`)})`, "allowed"],
        [`sum(${rate(`${decisions}{${chosen},outcome="denied",${BY_STORE}}`)})`, "denied"],
        [
          `sum(${rate(`${decisions}{${chosen},outcome="shadow_denied",${BY_STORE}}`)})`,
          "denied in shadow",
        ],
        [`sum(${rate(`${decisions}{${chosen},${WITHOUT_STORE}}`)})`, "without the store"],
      ],
    },
    {
      title: "Denied a second, by rule",
      about: "Which rule denies: the ten that deny most.",
      unit: "reqps",
      targets: [
        [
          `topk(10, sum by (limiter, policy) (${rate(`${decisions}{${chosen},outcome="denied"}`)}))`,
          "{{limiter}} {{policy}}",
        ],
      ],
    },
    {
      title: "Share denied",
      about: "The share of calls that are denied.",
      unit: "percentunit",
      targets: [
        [
          `sum by (limiter) (${rate(`${decisions}{${chosen},outcome="denied"}`)}) / sum by (limiter) (${rate(`${decisions}{${chosen}}`)})`,
          "{{limiter}}",
        ],
      ],
    },
  ];
}

/** Which rules are in force, and who is near them. @param {NameOf} nameOf @returns {Panel[]} */
function rulePanels(nameOf) {
  return [
    {
      title: "Near the limit, a second",
      about: "Who will be denied next: allowed, with a tenth of the limit or less left.",
      unit: "reqps",
      targets: [
        [
          `sum by (limiter, policy) (${rate(`${nameOf("sluice.near_limit")}{${chosen}}`)})`,
          "{{limiter}} {{policy}}",
        ],
      ],
    },
    {
      title: "Limits in force",
      about: "The limit of each policy, and whether it is enforced.",
      type: "table",
      targets: [
        [`max by (limiter, policy) (${nameOf("sluice.policy.limit")}{${chosen}})`, "limit"],
        [`max by (limiter, policy) (${nameOf("sluice.policy.window")}{${chosen}})`, "window, s"],
        [`max by (limiter, policy, mode) (${nameOf("sluice.policy.mode")}{${chosen}})`, "{{mode}}"],
      ],
    },
    {
      title: "Calls without a decision, a second",
      about: "Aborted by their callers, or failed: the second should be 0.",
      unit: "reqps",
      targets: [
        [`sum by (outcome) (${rate(`${nameOf("sluice.undecided")}{${chosen}}`)})`, "{{outcome}}"],
      ],
    },
  ];
}

/** Which document is in force where. @param {NameOf} nameOf @returns {Panel[]} */
function documentPanels(nameOf) {
  return [
    {
      title: "Documents in force",
      about: "The version of each set of rules: all processes should be at one, or nearly.",
      targets: [
        [`max by (set) (${nameOf("sluice.rules.version")})`, "{{set}} newest"],
        [`min by (set) (${nameOf("sluice.rules.version")})`, "{{set}} oldest"],
      ],
    },
    {
      title: "Reloads, and stale documents",
      about:
        "Whether new documents were accepted, and for how long the one in force may be out of date.",
      targets: [
        [
          `sum by (set, outcome) (increase(${nameOf("sluice.rules.reloads")}[$__rate_interval]))`,
          "{{set}} {{outcome}}",
        ],
        [`max by (set) (${nameOf("sluice.rules.stale")})`, "{{set}} stale, s"],
      ],
    },
    {
      title: "Switches and overrides",
      about:
        "Whether somebody has switched rules to shadow or off, and how many keys have an override.",
      targets: [
        [
          `sum by (set, mode) (${nameOf("sluice.rules.mode")}{mode!="enforce"})`,
          "{{set}} {{mode}}",
        ],
        [`max by (limiter) (${nameOf("sluice.overrides")}{${chosen}})`, "{{limiter}} overrides"],
      ],
    },
  ];
}

/** Whether the store is well. @param {NameOf} nameOf @returns {Panel[]} */
function storePanels(nameOf) {
  const decisions = nameOf("sluice.decisions");
  const trips = nameOf("sluice.store.call.duration");
  const batches = nameOf("sluice.store.batch.calls");
  return [
    {
      title: "Round trips to the store",
      about: "How long a round trip takes: the median and the 99th percentile.",
      unit: "s",
      targets: [
        [
          `histogram_quantile(0.5, sum by (le, store) (${rate(`${trips}_bucket`)}))`,
          "{{store}} p50",
        ],
        [
          `histogram_quantile(0.99, sum by (le, store) (${rate(`${trips}_bucket`)}))`,
          "{{store}} p99",
        ],
      ],
    },
    {
      title: "Failures of the store, a second",
      about: "Why calls fail, by Sluice's code and the server's word.",
      unit: "reqps",
      targets: [
        [
          `sum by (store, code, server) (${rate(nameOf("sluice.store.errors"))})`,
          "{{store}} {{code}} {{server}}",
        ],
        [
          `max by (store, part) (${nameOf("sluice.store.breaker.open")})`,
          "{{store}} {{part}} not asked",
        ],
      ],
    },
    {
      title: "Calls a round trip, and under way",
      about: "Whether calls travel together, and whether the store keeps up.",
      targets: [
        [
          `sum by (store) (${rate(`${batches}_sum`)}) / sum by (store) (${rate(`${batches}_count`)})`,
          "{{store}} calls a trip",
        ],
        [`sum by (store) (${nameOf("sluice.store.pending")})`, "{{store}} under way"],
      ],
    },
    {
      title: "Answered here, a second",
      about: "Calls that remembered denials and prefetched units answer without the store.",
      unit: "reqps",
      targets: [
        [
          `sum by (source) (${rate(`${decisions}{${chosen},source=~"deny-cache|prefetch"}`)})`,
          "{{source}}",
        ],
      ],
    },
  ];
}

/** Who waits, and who holds. @param {NameOf} nameOf @returns {Panel[]} */
function waitPanels(nameOf) {
  const waits = nameOf("sluice.wait.duration");
  return [
    {
      title: "Waiting",
      about: "How many wait in line, and for how long.",
      targets: [
        [`sum by (limiter) (${nameOf("sluice.waiting")}{${chosen}})`, "{{limiter}} waiting"],
        [
          `histogram_quantile(0.99, sum by (le, limiter) (${rate(`${waits}_bucket{${chosen}}`)}))`,
          "{{limiter}} p99, s",
        ],
      ],
    },
    {
      title: "Semaphores",
      about: "Permits that are held, callers that wait, and permits that were lost.",
      targets: [
        [`sum by (semaphore) (${nameOf("sluice.semaphore.held")})`, "{{semaphore}} held"],
        [`sum by (semaphore) (${nameOf("sluice.semaphore.waiting")})`, "{{semaphore}} waiting"],
        [
          `sum by (semaphore) (increase(${nameOf("sluice.semaphore.lost")}[$__rate_interval]))`,
          "{{semaphore}} lost",
        ],
      ],
    },
  ];
}

/** @param {NameOf} nameOf @returns {Alert[]} */
export function alerts(nameOf) {
  return [...decisionAlerts(nameOf), ...documentAlerts(nameOf), ...storeAlerts(nameOf)];
}

/** @param {NameOf} nameOf @returns {Alert[]} */
function decisionAlerts(nameOf) {
  const decisions = nameOf("sluice.decisions");
  return [
    {
      alert: "SluiceDecidesWithoutStore",
      expr: `sum by (limiter) (rate(${decisions}{${WITHOUT_STORE}}[5m])) > 0`,
      for: "1m",
      summary: "{{ $labels.limiter }} decides without its store",
      todo: "without-the-store",
    },
    {
      alert: "SluiceCallsFail",
      expr: `sum by (limiter) (rate(${nameOf("sluice.undecided")}{outcome="failed"}[5m])) > 0`,
      for: "1m",
      summary: "calls of {{ $labels.limiter }} end with an error in place of a decision",
      todo: "calls-fail",
    },
    {
      alert: "SluiceDeniesMuch",
      expr:
        `sum by (limiter) (rate(${decisions}{outcome="denied"}[5m])) / ` +
        `sum by (limiter) (rate(${decisions}[5m])) > 0.2`,
      for: "10m",
      summary: "{{ $labels.limiter }} denies {{ $value | humanizePercentage }} of its calls",
      todo: "many-denials",
    },
  ];
}

/** @param {NameOf} nameOf @returns {Alert[]} */
function documentAlerts(nameOf) {
  const version = nameOf("sluice.rules.version");
  return [
    {
      alert: "SluiceVersionsDiffer",
      expr: `max by (set) (${version}) - min by (set) (${version}) > 0`,
      for: "30s",
      summary: "processes decide {{ $labels.set }} by different versions of its document",
      todo: "versions-differ",
    },
    {
      alert: "SluiceRulesStale",
      expr: `max by (set) (${nameOf("sluice.rules.stale")}) > 60`,
      for: "0m",
      summary: "the rules of {{ $labels.set }} may not be what their source says",
      todo: "stale-rules",
    },
  ];
}

/** @param {NameOf} nameOf @returns {Alert[]} */
function storeAlerts(nameOf) {
  const trips = nameOf("sluice.store.call.duration");
  return [
    {
      alert: "SluiceStoreNotAsked",
      expr: `max by (store, part) (${nameOf("sluice.store.breaker.open")}) == 1`,
      for: "0m",
      summary: "{{ $labels.store }} {{ $labels.part }} fails and is not asked but by probes",
      todo: "without-the-store",
    },
    {
      alert: "SluiceStoreSlow",
      expr: `histogram_quantile(0.99, sum by (le, store) (rate(${trips}_bucket[5m]))) > 0.05`,
      for: "5m",
      summary:
        "one in a hundred round trips to {{ $labels.store }} takes {{ $value | humanizeDuration }} or longer",
      todo: "a-slow-store",
    },
    {
      alert: "SluiceForgetsKeys",
      expr: `sum by (store) (increase(${nameOf("sluice.memory.evictions")}[5m])) > 0`,
      for: "0m",
      summary: "{{ $labels.store }} is full and forgets the quota of keys that are in use",
      todo: "a-full-memory",
    },
    {
      alert: "SluiceLosesPermits",
      expr: `sum by (semaphore) (increase(${nameOf("sluice.semaphore.lost")}[5m])) > 0`,
      for: "0m",
      summary: "permits of {{ $labels.semaphore }} end before their holders are done",
      todo: "lost-permits",
    },
  ];
}
