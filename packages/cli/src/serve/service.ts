/** What every way into the service needs: the rules, their store, who may ask, the log, and the end of it all. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fixedWindow, MemoryStore, RateLimiter, SluiceError, type Store } from "sluice";
import {
  type ModeSwitch,
  PoliciesFile,
  PolicySet,
  type PolicySource,
  PublishedPolicies,
} from "sluice/policies";
import { type Metrics, metrics } from "sluice/prometheus";
import { RedisStore } from "sluice/redis";
import type { LentSemaphores } from "../dashboard/permits.js";
import type { Door } from "../dashboard/tokens-door.js";
import { errorText, type ServiceLog } from "./log.js";
import { noteChanges, outageHooks } from "./note-events.js";
import { SettingError } from "./read-settings.js";
import { type ServiceDashboard, serviceDashboard } from "./service-dashboard.js";
import type { ServiceSettings } from "./settings.js";
import { readTls, type ServerTls } from "./tls.js";
import { Tokens } from "./tokens.js";

/** A way in: a server that can stop. */
export interface Entrance {
  /** Takes no new requests, and resolves when those that it had taken are answered; after `withinMs` at the latest. */
  close(withinMs: number): Promise<void>;
  /** Shows this certificate to those who connect from now on. Undefined where it speaks no TLS. */
  readonly renewTls?: ((tls: ServerTls) => void) | undefined;
}

/** Whether the service can decide now. */
export interface Readiness {
  readonly isReady: boolean;
  /** What is the matter, in short: "draining", "store unreachable". */
  readonly notes: readonly string[];
}

/** Instead of what the settings say. */
interface OwnParts {
  readonly source?: (store: Store) => Promise<PolicySource>;
  readonly door?: Door;
  /** What the dashboard calls an id. */
  readonly label?: (id: string) => string | undefined;
}

export class Service {
  readonly settings: ServiceSettings;
  readonly log: ServiceLog;
  readonly store: Store;
  readonly rules: PolicySet;
  readonly tokens: Tokens;
  readonly metrics: Metrics;
  /** Undefined if there is to be none. */
  readonly dashboard: ServiceDashboard | undefined;
  readonly #probe: RateLimiter;
  readonly #entrances: Entrance[] = [];
  #probing: Promise<boolean> | undefined;
  #ending: Promise<void> | undefined;
  #isDraining = false;
  #lent: LentSemaphores | undefined;

  private constructor(
    parts: Pick<Service, "settings" | "log" | "store" | "rules" | "tokens">,
    own: OwnParts,
  ) {
    const { settings, log, store, rules, tokens } = parts;
    const { namespace, storeTimeout: timeout } = settings;
    this.settings = settings;
    this.log = log;
    this.store = store;
    this.rules = rules;
    this.tokens = tokens;
    this.metrics = metrics([rules, store]);
    this.#probe = new RateLimiter<Store>({
      policy: fixedWindow({ name: "readyz", limit: 1, window: "1s" }),
      store,
      namespace,
      timeout,
      onStoreFailure: "throw",
      breaker: false,
    });
    this.dashboard = serviceDashboard(parts, { ...own, lent: () => this.#lent });
    noteChanges(rules, log);
  }

  /**
   * Opens the store, reads the tokens and the document, and follows it. A program of ours may pass the document, and who
   * may see the dashboard.
   *
   * @throws SettingError, InvalidPoliciesError
   */
  static async open(
    settings: ServiceSettings,
    log: ServiceLog,
    own: OwnParts = {},
  ): Promise<Service> {
    const { redis: url, cluster, namespace, storeTimeout: timeout } = settings;
    const sourceIn = own.source ?? sourceOf(settings);
    const tokens = await readTokens(settings);
    const hooks = outageHooks(log);
    const store: Store =
      url === undefined ? new MemoryStore() : new RedisStore({ url, cluster, hooks });
    try {
      const rules = await PolicySet.open({
        source: await sourceIn(store),
        store,
        namespace,
        timeout,
        cacheFile: settings.policiesCache,
        // A setting of a few choices.
        ...(settings.mode !== undefined && { mode: settings.mode as ModeSwitch }),
      });
      return new Service({ settings, log, store, rules, tokens }, own);
    } catch (error) {
      await store.close();
      if (error instanceof SluiceError) throw error;
      throw new SettingError(`the policies cannot be read: ${errorText(error)}`);
    }
  }

  /** Whether it is on its way out: answers then end their connections. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Reads the file of tokens again; the old ones stay if it cannot be read. Never rejects. */
  async readTokensAgain(): Promise<void> {
    if (this.settings.tokensFile === undefined) return;
    try {
      this.tokens.replaceBy(await readTokens(this.settings));
      this.log.info("tokens read");
    } catch (error) {
      this.log.error("tokens not taken", { why: errorText(error) });
    }
  }

  /** Reads the files of the certificate again; the old one stays if they do not hold another. Never rejects. */
  async readCertificateAgain(): Promise<void> {
    const renewals = this.#entrances.flatMap(({ renewTls }) => renewTls ?? []);
    if (renewals.length === 0) return;
    try {
      const tls = await readTls(this.settings);
      if (tls !== undefined) for (const renew of renewals) renew(tls);
      this.log.info("certificate read");
    } catch (error) {
      this.log.error("certificate not taken", { why: errorText(error) });
    }
  }

  /** The semaphores that clients use, for the dashboard. */
  lend(semaphores: LentSemaphores): void {
    this.#lent = semaphores;
  }

  /** Closes `entrance` when the service ends. */
  mount(entrance: Entrance): void {
    this.#entrances.push(entrance);
  }

  /** Asks the store, if there is one outside the process. Never rejects. */
  async readiness(): Promise<Readiness> {
    const notes: string[] = [];
    const { stale } = this.rules.status();
    if (stale !== undefined) notes.push("policies may be stale");
    const isReached = !this.store.external || (await this.#isStoreReached());
    if (!isReached) notes.push("store unreachable");
    if (this.#isDraining) notes.push("draining");
    const { onStoreFailure = "local" } = this.rules.document.defaults ?? {};
    const isOpen = onStoreFailure === "local" || onStoreFailure === "open";
    return { isReady: !this.#isDraining && (isReached || isOpen), notes };
  }

  /** Drains: says that it goes, waits for balancers to see it, answers what it has taken, and closes everything. Once. */
  end(): Promise<void> {
    this.#ending ??= this.#drain();
    return this.#ending;
  }

  async #drain(): Promise<void> {
    const { drainDelay, drainTimeout } = this.settings;
    this.#isDraining = true;
    this.log.info("draining", { delayMs: drainDelay });
    await sleep(drainDelay);
    await Promise.all(this.#entrances.map((entrance) => entrance.close(drainTimeout)));
    await this.close();
    this.log.info("ended");
  }

  /** Closes what decides, at once. */
  async close(): Promise<void> {
    await this.#probe.close();
    await this.dashboard?.board.close();
    await this.rules.close();
    await this.store.close();
  }

  #isStoreReached(): Promise<boolean> {
    // Simultaneous requests share one call to the store.
    this.#probing ??= this.#probe
      .peek("readyz")
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        this.#probing = undefined;
      });
    return this.#probing;
  }
}

/** @throws SettingError */
function sourceOf({
  policies: path,
  published: name,
  redis,
}: ServiceSettings): (store: Store) => PolicySource {
  if (path !== undefined) {
    if (name === undefined) return () => new PoliciesFile({ path });
    throw new SettingError("--policies and --published are given: one of them is enough");
  }
  if (name === undefined) throw new SettingError("--policies FILE is missing");
  if (redis === undefined) throw new SettingError("--published goes with --redis URL");
  return (store) => new PublishedPolicies({ store, name });
}

async function readTokens({ tokens, tokensFile }: ServiceSettings): Promise<Tokens> {
  if (tokens !== undefined && tokensFile !== undefined) {
    throw new SettingError("SLUICE_TOKENS and a file of tokens are given: one of them is enough");
  }
  try {
    const text = tokensFile === undefined ? (tokens ?? "") : await readFile(tokensFile, "utf8");
    const read = Tokens.parse(text);
    if (read.areAsked || (tokens === undefined && tokensFile === undefined)) return read;
  } catch (error) {
    throw new SettingError(`the tokens cannot be read: ${errorText(error)}`);
  }
  // A list means that some clients are to be kept out: without this, an empty one would let everyone in.
  throw new SettingError(
    `${tokensFile === undefined ? "SLUICE_TOKENS" : "the file of tokens"} has no token`,
  );
}
