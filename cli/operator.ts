import { hostname, userInfo } from 'node:os';

/** Who asks, for reports: `login@machine`, the person behind sudo if any. */
export const operatorOf = (env: Readonly<Record<string, string | undefined>>): string =>
  `${env['SUDO_USER'] ?? userInfo().username}@${hostname()}`;
