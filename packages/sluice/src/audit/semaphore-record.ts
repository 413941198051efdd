/** The lines of a log of a semaphore: what the store said of each place, by the store's clock. */
import type { PermitGrant } from "../semaphore/permit-grant.js";
import type { PermitObserver } from "../semaphore/permit-observers.js";
import { FORMAT, keyId } from "./record.js";

/** The first line of such a log. */
export function semaphoreHeaderLine(limit: number): string {
  return line({ sluice: FORMAT, semaphore: { limit } });
}

/** Writes a line for everything that happens to the permits of `key`. */
export function permitLog(key: string, write: (line: string) => void): PermitObserver {
  const id = keyId(key);
  const say = (fields: object): void => {
    write(line({ key: id, ...fields }));
  };
  return {
    granted: ({ fence, ticket, weight, atUs, untilUs }: PermitGrant) => {
      say({ granted: fence, ticket, weight, atUs, untilUs });
    },
    renewed: ({ fence }, atUs, untilUs) => {
      say({ renewed: fence, atUs, untilUs });
    },
    // A process that is killed now may have released.
    releasing: ({ fence }) => {
      say({ releasing: fence });
    },
    released: ({ fence }, atUs) => {
      say({ released: fence, atUs });
    },
  };
}

/** The line of an acquisition that got no place in the time it had. */
export function deniedAcquisitionLine(key: string): string {
  return line({ denied: "MAX_WAIT_EXCEEDED", key: keyId(key) });
}

/** The line of an acquisition that failed. */
export function failedAcquisitionLine(key: string, code: string): string {
  return line({ failed: code, key: keyId(key) });
}

const line = (fields: object): string => `${JSON.stringify(fields)}\n`;
