/** What a certificate of the fleet may be used for, and the names that it bears. */
import { isIP } from 'node:net';
import { permanent } from '../domain/errors.ts';

/**
 * - `host`: a KVM host. `CN=<name>` and nothing else, because an export admits exactly that name; good for both ends
 *   of a connection (NBD, libvirt), and as the host worker's client certificate to Temporal.
 * - `client`: a control worker or a person. Its name has a second part, so that it never stands for a host.
 * - `temporal`: Temporal's frontend, which is a server and, towards itself, a client.
 */
export const Role = { host: 'host', client: 'client', temporal: 'temporal' } as const;
export type Role = (typeof Role)[keyof typeof Role];

export interface Subject {
  role: Role;
  name: string;
  /** Further DNS names. */
  dns: readonly string[];
  /** IP addresses at which it is reached. */
  addresses: readonly string[];
}

/** The names are the configuration's (`host.name`). */
const nameForm = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;
const dnsForm = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/** Throws `pki-name-invalid` for what has no place in a certificate. */
export function checkSubject({ name, dns, addresses }: Subject): void {
  const wrong =
    (nameForm.test(name) ? undefined : name) ??
    dns.find((one) => !dnsForm.test(one)) ??
    addresses.find((one) => isIP(one) === 0);
  if (wrong === undefined) return;
  throw permanent({
    code: 'pki-name-invalid',
    message: `${JSON.stringify(wrong.slice(0, 100))} cannot stand in a certificate`,
    remedy:
      'A name has 1 to 64 of A-Z a-z 0-9 . _ -, begins and ends with a letter or digit; an address is an IP address.',
  });
}

/** The distinguished name, in the order of its encoding. GnuTLS prints it the other way round. */
export const distinguishedName = ({ role, name }: Pick<Subject, 'role' | 'name'>): string =>
  role === Role.host ? `CN=${name}` : `OU=${role}, CN=${name}`;

/** Reads it back; undefined for a name that this authority does not give. */
export function roleAndNameOf(subject: string): Pick<Subject, 'role' | 'name'> | undefined {
  const parts = subject
    .split(/\n|, /)
    .map((part) => part.trim())
    .filter(Boolean);
  const value = (key: string): string | undefined =>
    parts.find((part) => part.startsWith(`${key}=`))?.slice(key.length + 1);
  const name = value('CN');
  const role = value('OU') ?? Role.host;
  if (name === undefined || !(role in Role)) return undefined;
  return { role: role as Role, name };
}
