/** What a process says of an outage where no hook listens: once an outage, on the channel of the platform's warnings. */

/** Does nothing where the platform has no such channel. */
export function warnOfOutage({ message }: Error): void {
  if (typeof process !== "object" || typeof process.emitWarning !== "function") return;
  process.emitWarning(
    `${message}. Until the store is back, limiters answer as onStoreFailure says, "local" by default. ` +
      "To handle outages yourself, pass hooks: { onError }.",
    { type: "SluiceWarning", code: "SLUICE_OUTAGE" },
  );
}
