/** The warning of a process in which no hook listens: once per outage, on the platform's channel for warnings. */

/** Does nothing if the platform has no such channel. */
export function warnOfOutage({ message }: Error): void {
  if (typeof process !== "object" || typeof process.emitWarning !== "function") return;
  process.emitWarning(
    `${message}. Until the store is back, limiters answer as onStoreFailure says, "local" by default. ` +
      "To handle outages yourself, pass hooks: { onError }.",
    { type: "SluiceWarning", code: "SLUICE_OUTAGE" },
  );
}
