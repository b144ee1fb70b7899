import { hostname, userInfo } from 'node:os';
import { usageError } from './fault.ts';

/** Longer names are no names. */
const mostCharacters = 128;
const harmful = /[\p{Cc}\p{Cf}\u2028\u2029]/u;

/**
 * Who asks, for reports: `login@machine`, the person behind sudo if any. A name given by `--operator` or
 * `$VMFERRY_OPERATOR` stands before it, `ada (root@desk)`: it is a word, and the login stays to be seen.
 * Throws `usage` where the name is empty, longer than 128 characters or holds control characters.
 */
export function operatorOf(
  env: Readonly<Record<string, string | undefined>>,
  asked: string | undefined = env['VMFERRY_OPERATOR'] === '' ? undefined : env['VMFERRY_OPERATOR'],
): string {
  const login = `${env['SUDO_USER'] ?? userInfo().username}@${hostname()}`;
  if (asked === undefined) return login;
  const name = asked.trim();
  if (name !== '' && name.length <= mostCharacters && !harmful.test(name))
    return `${name} (${login})`;
  throw usageError(
    'the operator has to be a name of 1 to 128 characters without control characters',
    'Correct --operator or $VMFERRY_OPERATOR.',
  );
}
