/** How clients of ioredis and iovalkey are ended so that nothing of them stays. */

/** A Cluster's client that asks for its slots meanwhile would go on to ask for ever, and keep the process alive. */
export function disconnectForGood(client: object): void {
  const known = client as { refreshSlotsCache?: unknown; disconnect: () => void };
  if (known.refreshSlotsCache !== undefined) known.refreshSlotsCache = () => {};
  known.disconnect();
}
