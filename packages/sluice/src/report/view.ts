/** What all processes have reported together: the shapes that `readReports` gives. */
import type { DecisionCount } from "../limiter/stats.js";

/** Decisions of one kind of sum. */
export interface ReportedSums {
  /** Calls for quota that got a decision. */
  readonly asked: number;
  /** Calls that were allowed. */
  readonly allowed: number;
  /** Calls that were denied. */
  readonly denied: number;
  /** Allowed, for the limiter does not enforce, but it would have denied. */
  readonly shadowDenied: number;
  /** Of those asked: decided without the store (sources "local", "fail-open", "fail-closed", "fallback"). */
  readonly withoutStore: number;
  /** Of the allowed: left a tenth of the limit or less. */
  readonly nearLimit: number;
}

/** An id and how often it was denied, in shadow mode too. Counts are exact if the two are equal. */
export interface DeniedId {
  /** The hash of the key, as stores and logs have it. */
  readonly id: string;
  /** Denials that are sure. */
  readonly atLeast: number;
  /** Denials that there may have been. */
  readonly atMost: number;
}

/** One policy of a limiter, in all processes. */
export interface PolicyReport extends ShadowReport {
  /** The ids that were denied most, those with the highest `atLeast` first. */
  readonly topDenied: readonly DeniedId[];
  /** What an id that is not among them was denied at most. */
  readonly unlistedAtMost: number;
}

/**
 * The counts of one policy. Of one without a vote (`enforce: false` beside others, a rule in shadow mode, a candidate) they are what
 * it said beside those that decided: `asked` are its verdicts, and `shadowDenied` those that would have been denials.
 */
export interface ShadowReport extends ReportedSums {
  /** Its name; "other" for all after 100 names in a process, "" for calls whose policies were not known. */
  readonly policy: string;
  /** Units, as a process last reported it; undefined if it covers several. */
  readonly limit: number | undefined;
  /** Milliseconds; undefined if it covers several. */
  readonly windowMs: number | undefined;
  /** Why it has no vote. */
  readonly mode: "enforce" | "shadow";
  /** Units, by outcome. */
  readonly units: {
    readonly allowed: number;
    readonly denied: number;
    readonly shadowDenied: number;
  };
  /** The same decisions, one by one outcome, reason and source. */
  readonly decisions: readonly DecisionCount[];
  /** Decisions a second, over the time that the reports cover. */
  readonly perSecond: ReportedSums;
}

/** One limiter, in all processes. */
export interface LimiterReport extends ReportedSums {
  /** Its namespace. */
  readonly limiter: string;
  /** Calls that got no decision: given up by their callers; or failed with an error. */
  readonly aborted: number;
  /** Calls that failed. */
  readonly failed: number;
  /** Of acquire and wrap: waiting now, and ended since. */
  readonly waits: {
    readonly waiting: number;
    readonly started: number;
    readonly refused: number;
    readonly failed: number;
  };
  /** Units that were taken ahead; held is as of now. */
  readonly prefetch: {
    readonly taken: number;
    readonly spent: number;
    readonly returned: number;
    readonly lost: number;
    readonly held: number;
  };
  /** Decisions a second. */
  readonly perSecond: ReportedSums;
  /** The same by policy. */
  readonly policies: readonly PolicyReport[];
  /** Policies without a vote, whose verdicts are in none of the sums above. */
  readonly shadows: readonly ShadowReport[];
}

/** One semaphore, in all processes. */
export interface SemaphoreReport {
  /** Its keyspace: namespace and name. */
  readonly semaphore: string;
  /** The semaphore's limit. */
  readonly limit: number | undefined;
  /** Weight that is held now. */
  readonly held: number;
  /** Callers that wait now. */
  readonly waiting: number;
  /** Permits that were granted. */
  readonly granted: number;
  /** How many of them ended by their lease, or by the end of the semaphore, and not by their holders. */
  readonly lost: number;
}

/** A process that has reported. Times are ms since the epoch, by the store's clock. */
export interface ReportingProcess {
  /** Random: it says nothing about the host. */
  readonly process: string;
  /** "silent": it stopped without a word, so what it counted after `seenMs` is not known. */
  readonly state: "reporting" | "ended" | "silent";
  /** When it began to report, in ms since the epoch. */
  readonly beganMs: number;
  /** When it last reported, in ms since the epoch. */
  readonly seenMs: number;
}

/** Counts of a process that are missing from their minutes. */
export interface ReportGap {
  /** The process that did not report. */
  readonly process: string;
  /** Between these times, ms since the epoch. */
  readonly fromMs: number;
  /** The gap's end, in ms since the epoch. */
  readonly toMs: number;
  /** "late": they are in the minute that follows, for the store was away. "lost": the store has forgotten them. */
  readonly kind: "late" | "lost";
  /** How many decisions are lost; 0 of late ones; undefined if the gap begins before the minutes that were read. */
  readonly decisions: number | undefined;
}

/** One minute, in all processes. */
export interface MinuteReport {
  /** Its beginning: ms since the epoch, by the store's clock. */
  readonly fromMs: number;
  /** Sums by limiter and policy. */
  readonly policies: readonly MinuteSums[];
  /** Of policies without a vote. */
  readonly shadows: readonly MinuteSums[];
}

/** One policy in one minute. */
export interface MinuteSums extends ReportedSums {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** The policy's name. */
  readonly policy: string;
}

/** What all processes have reported in some minutes. */
export interface Reports {
  /** The store's clock: ms since the epoch. */
  readonly nowMs: number;
  /** From the beginning of the first minute that was read. */
  readonly fromMs: number;
  /** Who reported. */
  readonly processes: readonly ReportingProcess[];
  /** Sums of each limiter. */
  readonly limiters: readonly LimiterReport[];
  /** Sums of each semaphore. */
  readonly semaphores: readonly SemaphoreReport[];
  /** The oldest first. */
  readonly minutes: readonly MinuteReport[];
  /** Minutes for which a process did not report. */
  readonly gaps: readonly ReportGap[];
  /** Fields of a release that writes in another format: they are not counted. */
  readonly unreadable: number;
}
