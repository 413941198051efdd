/** The error of the later of two publishers. */
import { SluiceError } from "../core/errors.js";

/** Another version of the policies has been published since the one that this change was made from. Nothing was written. */
export class PolicyConflictError extends SluiceError {
  /** The version in force; 0 if there is none. */
  readonly version: number;

  constructor(expected: number, version: number) {
    const inForce = version === 0 ? "nothing is published" : `version ${version} is in force`;
    const message = `version ${expected} was expected, but ${inForce}: read it, and publish again`;
    super("POLICY_CONFLICT", message);
    this.name = "PolicyConflictError";
    this.version = version;
  }
}
