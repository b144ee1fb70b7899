/** The side of a SASL exchange that logs in, whatever the mechanism. */

/** Asked once, in the moment in which the password is needed; what it gives is not kept. */
export type PasswordSource = () => string | Promise<string>;

/** One exchange by one mechanism. */
export interface SaslClient {
  /** What goes out with the choice of the mechanism. */
  start(): Promise<Uint8Array>;
  /** The answer to what the server sent. Throws `SaslError` where that makes no sense or is false. */
  step(challenge: Uint8Array): Promise<Uint8Array | undefined>;
  /** Whether the server has proved that it, too, knows the password; true where it cannot. */
  readonly serverProved: boolean;
}

/** The exchange cannot go on; the text never holds a password. */
export class SaslError extends Error {
  override readonly name = 'SaslError';
}
