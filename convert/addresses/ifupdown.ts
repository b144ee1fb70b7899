/** Debian's ifupdown: by name only; the name is kept by `rename.ts`, so only what nobody configured is added. */
import { changeOf, filesIn, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import { gatewayOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

const main = '/etc/network/interfaces';
const folder = '/etc/network/interfaces.d';

export const usesIfupdown = (files: GuestFiles): boolean => files.has(main);

/** Interfaces that a stanza already names are left as they are. */
export function ifupdownChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  const text = files.get(main);
  if (text === undefined) return [];
  const all = [text, ...filesIn(files, folder).map((path) => files.get(path) ?? '')];
  const known = new Set(all.flatMap(stanzaNames));
  const missing = interfaces.filter(
    ({ name, addresses }) => addresses.length > 0 && !known.has(name),
  );
  if (missing.length === 0) return [];
  const readsFolder =
    /^\s*source(?:-directory)?\s+(?:\/etc\/network\/)?interfaces\.d(?:\/\*)?\s*$/m.test(text);
  if (readsFolder) {
    return missing.flatMap((one) =>
      // run-parts' names: no dots.
      changeOf(
        files,
        `${folder}/vmferry-${one.name.replaceAll('.', '-')}`,
        ownHeader + stanzas(one),
      ),
    );
  }
  const gap = text.endsWith('\n') || text === '' ? '' : '\n';
  return changeOf(files, main, `${text}${gap}\n${ownHeader}${missing.map(stanzas).join('\n')}`);
}

const stanzaNames = (text: string): string[] =>
  [...text.matchAll(/^\s*iface\s+(\S+)/gm)].map((found) => found[1] ?? '');

function stanzas(one: KeptInterface): string {
  const { name, addresses, dns, searchDomains } = one;
  const told = new Set<4 | 6>();
  const parts = addresses.map(({ address, prefix, family }) => {
    const gateway = told.has(family) ? undefined : gatewayOf(one, family);
    const first = told.size === 0;
    told.add(family);
    return [
      `iface ${name} ${family === 4 ? 'inet' : 'inet6'} static`,
      `    address ${address}/${prefix}`,
      ...(gateway === undefined ? [] : [`    gateway ${gateway}`]),
      ...(first && dns.length > 0 ? [`    dns-nameservers ${dns.join(' ')}`] : []),
      ...(first && searchDomains.length > 0 ? [`    dns-search ${searchDomains.join(' ')}`] : []),
    ].join('\n');
  });
  return `allow-hotplug ${name}\n${parts.join('\n')}\n`;
}
