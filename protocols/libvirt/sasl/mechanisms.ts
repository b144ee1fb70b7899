/** Which mechanism to log in by: the strongest that both sides have. */
import type { PasswordSource, SaslClient } from './client.ts';
import { PlainClient } from './plain.ts';
import { ScramClient, ScramHash } from './scram.ts';

/** What this client can do, strongest first. */
export const saslMechanisms = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'] as const;
export type SaslMechanism = (typeof saslMechanisms)[number];

/** Name and password for a daemon that asks for SASL. */
export interface SaslCredentials {
  readonly username: string;
  /** Asked once a log-in, when the password is needed; what it gives is not kept, logged or shown. */
  readonly password: PasswordSource;
  /** What may be used; every mechanism of `saslMechanisms` unless it is given. */
  readonly mechanisms?: readonly SaslMechanism[];
  /**
   * PLAIN also over a `stream`, of which this client cannot know who reads along. The daemon, or who
   * poses as it, then learns the password. Off unless it is given.
   */
  readonly insecurePlainOverAnyStream?: boolean;
}

/** What to choose among. */
export interface Choice {
  /** The daemon's list: names between commas or spaces. */
  readonly offered: string;
  readonly credentials: SaslCredentials;
  /** Whether the transport is encrypted or never leaves the host. */
  readonly isPrivate: boolean;
}

/** Undefined if there is none that both have and that may be used here. */
export function chooseMechanism(choice: Choice): SaslMechanism | undefined {
  const { offered, credentials, isPrivate } = choice;
  const names = new Set(offered.toUpperCase().split(/[\s,]+/));
  const { mechanisms = saslMechanisms, insecurePlainOverAnyStream = false } = credentials;
  return saslMechanisms.find(
    (each) =>
      names.has(each) &&
      mechanisms.includes(each) &&
      (each !== 'PLAIN' || isPrivate || insecurePlainOverAnyStream),
  );
}

/** Begins an exchange. */
export function saslClientOf(
  mechanism: SaslMechanism,
  { username, password }: SaslCredentials,
): SaslClient {
  switch (mechanism) {
    case 'PLAIN':
      return new PlainClient(username, password);
    case 'SCRAM-SHA-1':
      return new ScramClient({ hash: ScramHash.sha1, username, password });
    case 'SCRAM-SHA-256':
      return new ScramClient({ hash: ScramHash.sha256, username, password });
    case 'SCRAM-SHA-512':
      return new ScramClient({ hash: ScramHash.sha512, username, password });
  }
}
