/** The lines of a log of a semaphore: what the store said of each permit, by the store's clock. */
import type { PermitChanged } from "../events/events.js";
import { FORMAT, keyId } from "./record.js";

/**
 * The first line of such a log.
 *
 * @throws nothing
 * @example
 * import { semaphoreHeaderLine } from "sluice/audit";
 * console.log(JSON.parse(semaphoreHeaderLine(5)).semaphore.limit); // 5
 */
export function semaphoreHeaderLine(limit: number): string {
  return line({ sluice: FORMAT, semaphore: { limit } });
}

/**
 * A listener of a semaphore's "permit" events that writes a line for everything that happens to the permits of `key`.
 *
 * @throws InvalidOptionError for what is no key
 * @example
 * import { Semaphore } from "sluice";
 * import { permitLog, semaphoreHeaderLine } from "sluice/audit";
 * const semaphore = new Semaphore({ limit: 1 });
 * let log = semaphoreHeaderLine(1);
 * semaphore.events.on("permit", permitLog("printer", (line) => (log += line)));
 * await semaphore.withPermit("printer", () => "printed");
 * console.log(log.split("\n").length); // 5
 */
export function permitLog(
  key: string,
  write: (line: string) => void,
): (event: PermitChanged) => void {
  const id = keyId(key);
  const fieldsOf = ({ change, fence, ticket, weight, atUs, untilUs }: PermitChanged): object => {
    if (change === "granted") return { granted: fence, ticket, weight, atUs, untilUs };
    if (change === "renewed") return { renewed: fence, atUs, untilUs };
    // A process that is killed now may have released.
    if (change === "releasing") return { releasing: fence };
    return { released: fence, atUs };
  };
  return (event) => {
    if (event.key === key && event.change !== "lost") write(line({ key: id, ...fieldsOf(event) }));
  };
}

/**
 * The line of an acquisition that got no permit in the time it had.
 *
 * @throws InvalidOptionError for what is no key
 * @example
 * import { deniedAcquisitionLine } from "sluice/audit";
 * console.log(JSON.parse(deniedAcquisitionLine("k")).denied); // MAX_WAIT_EXCEEDED
 */
export function deniedAcquisitionLine(key: string): string {
  return line({ denied: "MAX_WAIT_EXCEEDED", key: keyId(key) });
}

/**
 * The line of an acquisition that failed.
 *
 * @throws InvalidOptionError for what is no key
 * @example
 * import { failedAcquisitionLine } from "sluice/audit";
 * console.log(JSON.parse(failedAcquisitionLine("k", "STORE_TIMEOUT")).failed); // STORE_TIMEOUT
 */
export function failedAcquisitionLine(key: string, code: string): string {
  return line({ failed: code, key: keyId(key) });
}

const line = (fields: object): string => `${JSON.stringify(fields)}\n`;
