/**
 * The name of a guest's only card, from the guest's own files: where the source told nothing (an OVA, a VM that is off),
 * it is what can be known. With one card and one name there is nothing to guess.
 */
import { isMap, parseDocument } from 'yaml';
import { filesIn } from './guest-files.ts';
import type { GuestFiles } from './guest-files.ts';
import { valuesOf } from './ini.ts';
import { valueIn } from './sysconfig.ts';

/** As kernel and udev name cards: what is built upon them (bonds, bridges, VLANs, aliases) has other names. */
const cardName = /^(?:eth\d{1,3}|en[ospx][A-Za-z0-9]{1,12}|em\d{1,2}|p\d{1,2}p\d{1,2})$/;

/** Undefined if the files name none or several. */
export function nameOfOnlyCard(files: GuestFiles): string | undefined {
  const named = [
    ...ifupdownNames(files),
    ...netplanNames(files),
    ...profileNames(files),
    ...networkdNames(files),
    ...ifcfgNames(files),
  ];
  const names = new Set(named.filter((name) => cardName.test(name)));
  return names.size === 1 ? [...names][0] : undefined;
}

const textsIn = (files: GuestFiles, folder: string, ending = ''): string[] =>
  filesIn(files, folder, ending).map((path) => files.get(path) ?? '');

function ifupdownNames(files: GuestFiles): string[] {
  const texts = [
    files.get('/etc/network/interfaces') ?? '',
    ...textsIn(files, '/etc/network/interfaces.d'),
  ];
  return texts.flatMap((text) =>
    [...text.matchAll(/^\s*iface\s+(\S+)/gm)].map(([, name = '']) => name),
  );
}

/** An entry with `match` goes by that; its key is a word of its own. */
function netplanNames(files: GuestFiles): string[] {
  return textsIn(files, '/etc/netplan', '.yaml').flatMap((text) => {
    const document = parseDocument(text);
    const all = document.errors.length === 0 ? document.getIn(['network', 'ethernets']) : undefined;
    if (!isMap(all)) return [];
    return all.items
      .map(({ key }) => String(key))
      .filter((name) => !document.hasIn(['network', 'ethernets', name, 'match']));
  });
}

const profileNames = (files: GuestFiles): string[] =>
  textsIn(files, '/etc/NetworkManager/system-connections').flatMap((text) =>
    valuesOf(text, 'connection', 'interface-name'),
  );

const networkdNames = (files: GuestFiles): string[] =>
  textsIn(files, '/etc/systemd/network', '.network').flatMap((text) =>
    valuesOf(text, 'Match', 'Name').flatMap((value) => value.split(/\s+/)),
  );

function ifcfgNames(files: GuestFiles): string[] {
  return ['/etc/sysconfig/network-scripts', '/etc/sysconfig/network'].flatMap((folder) =>
    filesIn(files, folder).flatMap((path) => {
      const name = /\/ifcfg-([^/]+)$/.exec(path)?.[1];
      return name === undefined ? [] : [valueIn(files.get(path) ?? '', 'DEVICE') ?? name];
    }),
  );
}
