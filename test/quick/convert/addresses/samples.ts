import type { KeptInterface } from '../../../../convert/addresses/interfaces.ts';
import type { FileChange } from '../../../../convert/addresses/guest-files.ts';

export const kept = (more: Partial<KeptInterface> = {}): KeptInterface => ({
  mac: '00:50:56:aa:bb:01',
  name: 'ens192',
  addresses: [
    { address: '198.51.100.20', prefix: 24, family: 4 },
    { address: '2001:db8::20', prefix: 64, family: 6 },
  ],
  gateways: ['198.51.100.1', '2001:db8::1'],
  dns: ['198.51.100.53'],
  searchDomains: ['example.org'],
  ...more,
});

export const second = kept({
  mac: '00:50:56:aa:bb:02',
  name: 'ens224',
  addresses: [{ address: '203.0.113.20', prefix: 25, family: 4 }],
  gateways: [],
  dns: [],
});

/** As the guest is after the changes were written. */
export const applied = (
  files: Record<string, string>,
  changes: readonly FileChange[],
): Record<string, string> => ({
  ...files,
  ...Object.fromEntries(changes.map(({ path, content }) => [path, content])),
});

export const asMap = (files: Record<string, string>): Map<string, string> =>
  new Map(Object.entries(files));

/** Lines of `before` that are not in `after`, and the other way round. */
export function difference(before: string, after: string): { gone: string[]; come: string[] } {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return {
    gone: old.filter((line) => !now.includes(line)),
    come: now.filter((line) => !old.includes(line)),
  };
}
