/** The core: policies, the limiter, the store in memory, errors. No runtime dependencies. */
export type { Algorithm, PolicyBase, VoteOption } from "./algorithms/algorithm.js";
export type { CalendarUnit, Weekday } from "./algorithms/calendar-window/calendar.js";
export type { DebitState } from "./algorithms/debit.js";
export type { Verb, VerbName } from "./algorithms/decide.js";
export type {
  Compiled,
  Kernel,
  Params,
  Readiness,
  ReservationCharge,
  ReservationReceipt,
  ReservationRules,
  Reservations,
  RowAnswer,
  RowLayout,
  State,
} from "./algorithms/kernel.js";
export type { Rule } from "./algorithms/rule.js";
export type { Policy } from "./algorithms/registry.js";
export { parsePolicy } from "./algorithms/registry.js";
export { gcra, type GcraOptions, type GcraPolicy } from "./algorithms/gcra/policy.js";
export {
  leakyBucket,
  type LeakyBucketOptions,
  type LeakyBucketPolicy,
} from "./algorithms/leaky-bucket/policy.js";
export {
  tokenBucket,
  type TokenBucketOptions,
  type TokenBucketPolicy,
} from "./algorithms/token-bucket/policy.js";
export {
  calendarWindow,
  type CalendarWindowOptions,
  type CalendarWindowPolicy,
} from "./algorithms/calendar-window/policy.js";
export {
  fixedWindow,
  type FixedWindowOptions,
  type FixedWindowPolicy,
} from "./algorithms/fixed-window/policy.js";
export {
  slidingLog,
  type SlidingLogOptions,
  type SlidingLogPolicy,
} from "./algorithms/sliding-log/policy.js";
export {
  slidingWindow,
  type SlidingWindowOptions,
  type SlidingWindowPolicy,
} from "./algorithms/sliding-window/policy.js";
export {
  unlimited,
  type UnlimitedOptions,
  type UnlimitedPolicy,
} from "./algorithms/unlimited/policy.js";
export { type Clock, systemClock } from "./core/clock.js";
export type { Decision, DecisionReason, DecisionSource, PolicyVerdict } from "./core/decision.js";
export { type Duration, durationMs, type DurationUnit } from "./core/duration.js";
export {
  ClosedError,
  CrossSlotError,
  type ErrorCode,
  InvalidOptionError,
  LeaseLostError,
  MaxWaitExceededError,
  PolicyUnavailableError,
  QueueFullError,
  SluiceError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "./core/errors.js";
export type { BreakerOptions } from "./resilience/breaker.js";
export type {
  BatchBegun,
  BatchSent,
  DecisionMade,
  DenialMade,
  ErrorEvent,
  EventMap,
  EventName,
  Events,
  Evicted,
  Instead,
  KeyAdjusted,
  Listener,
  OutageEnded,
  PermitChanged,
  Prefetched,
  RecoveryEvent,
  StoreCalled,
  Unanswered,
  WaitBegun,
  WaitEnded,
} from "./events/events.js";
export type {
  RuleChange,
  RuleEvents,
  RulesChanged,
  RulesReloaded,
} from "./events/rule-events.js";
export type { CallUndecided, PermitEnded, RoundTripEnded } from "./events/endings.js";
export type { DecisionEvent, Hooks, OutageHooks } from "./events/hooks.js";
export type { DenyCacheOptions } from "./limiter/shortcuts/deny-cache.js";
export type { PolicyCacheOptions } from "./limiter/policy-cache.js";
export type {
  Override,
  OverrideChanged,
  OverrideTerms,
  PoliciesChanged,
} from "./events/changes.js";
export type { OverrideOptions } from "./limiter/override-options.js";
export type { ListedOverride } from "./limiter/overrides.js";
export type {
  OverridesRead,
  OverrideStore,
  OverrideWatch,
  OverrideWrite,
  StoredOverride,
} from "./stores/override-store.js";
export type { PolicyOption } from "./limiter/policy-resolver.js";
export type { PrefetchOptions } from "./limiter/shortcuts/prefetch.js";
export type { Start } from "./limiter/waiting/acquire.js";
export type { Granted, Refused, Reservation, WaitOptions } from "./limiter/waiting/reserve.js";
export {
  limited,
  type LimitedDecorator,
  type LimitedOptions,
  type PermitGiver,
} from "./limiter/waiting/decorator.js";
export type { Acquirer, WrapOptions } from "./limiter/waiting/wrap.js";
export type { HistogramStats } from "./core/histogram.js";
export type { WaitStats } from "./events/wait-counts.js";
export type { Identity } from "./core/identity.js";
export type { SlotOption } from "./core/key.js";
export {
  type AtomicDecision,
  type AtomicOptions,
  type AtomicRequest,
  consumeAtomic,
} from "./limiter/consume-atomic.js";
export type {
  AsyncCallOptions,
  BlockOptions,
  CallOptions,
  ChangeOptions,
  FallbackLimiter,
  Grant,
  KeyedRequest,
  OnStoreFailure,
  RateLimiterOptions,
  RefundOptions,
} from "./limiter/options.js";
export type { Refund, Settlement } from "./limiter/give-back.js";
export type {
  DecisionCount,
  DecisionOutcome,
  LimiterStats,
  PolicyStats,
} from "./limiter/stats.js";
export { RateLimiter, type RateLimiterConstructor } from "./limiter/rate-limiter.js";
export type { Permit } from "./semaphore/permit.js";
export type {
  AcquireOptions,
  SemaphoreOptions,
  TryAcquireOptions,
} from "./semaphore/options.js";
export type { SemaphoreStats, SemaphoreUsage } from "./semaphore/counts.js";
export type { ListedPermit, ListedWaiter, SemaphoreListing } from "./semaphore/members.js";
export { type LentPermit, lendPermit, releaseLent, renewLent } from "./semaphore/lent.js";
export { Semaphore, type SemaphoreConstructor } from "./semaphore/semaphore.js";
export type { SemaphoreWrapOptions } from "./semaphore/wrap.js";
export type { WaitedCalls } from "./core/wrapped.js";
export type { StoreCounts, StoreErrorCount, StoreStats } from "./stores/store-counts.js";
export {
  MemoryStore,
  type MemoryStats,
  type MemoryStoreOptions,
} from "./stores/memory/memory-store.js";
export type {
  CommandEntry,
  EntryAnswer,
  Notification,
  SemaphoreAnswer,
  SemaphoreCommand,
  SemaphoreVerb,
  Terms,
} from "./algorithms/semaphore/kernel.js";
export type {
  Listening,
  SemaphoreKey,
  SemaphoreStore,
  NotificationListener,
  SyncSemaphoreStore,
} from "./stores/semaphore-store.js";
export type {
  DocumentDraft,
  DocumentEntry,
  DocumentHead,
  DocumentNote,
  DocumentPublished,
  DocumentStore,
  DocumentWatch,
} from "./stores/document-store.js";
export type { HandOver, Submitted } from "./stores/hand-over.js";
export type { KeyspaceRegistry } from "./stores/keyspaces.js";
export type {
  ReportMinute,
  ReportRead,
  ReportStore,
  ReportWrite,
  ReportWritten,
} from "./stores/report-store.js";
export type { StoreOf } from "./stores/store-of.js";
export type {
  Claimant,
  Debit,
  DebitResult,
  Done,
  Keyspace,
  Outcome,
  Store,
  StoreCall,
  StoreResult,
  SyncStore,
} from "./stores/store.js";
