/**
 * What a guest's own files say of its cards. No platform tells all of it: vSphere knows addresses and no names, the agent
 * of a KVM guest names and not whether somebody set an address. What stands in the files tells the rest.
 */
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { filesIn } from './guest-files.ts';
import type { GuestFiles } from './guest-files.ts';
import { valuesOf } from './ini.ts';
import { canonical } from './interfaces.ts';
import { valueIn, valuesLike } from './sysconfig.ts';

/** One entry of one file. */
export interface Claim {
  /** Empty where the entry goes by something else. */
  name: string;
  /** Lower case, colons. */
  mac: string;
  /** Without their prefixes, in one spelling. */
  addresses: string[];
}

export const claimsOf = (files: GuestFiles): Claim[] => [
  ...ifupdownClaims(files),
  ...netplanClaims(files),
  ...profileClaims(files),
  ...networkdClaims(files),
  ...ifcfgClaims(files),
  ...ruleClaims(files),
];

const textsIn = (files: GuestFiles, folder: string, ending = ''): string[] =>
  filesIn(files, folder, ending).map((path) => files.get(path) ?? '');

const claim = (name: string, mac = '', addresses: readonly string[] = []): Claim => ({
  name,
  mac: mac.toLowerCase(),
  addresses: addresses.map(bare).filter((address) => address !== ''),
});

/** `198.51.100.20/24,198.51.100.1` is the address 198.51.100.20. */
const bare = (text: string): string => canonical(/^[^/,\s]*/.exec(text.trim())?.[0] ?? '');

function ifupdownClaims(files: GuestFiles): Claim[] {
  const texts = [
    files.get('/etc/network/interfaces') ?? '',
    ...textsIn(files, '/etc/network/interfaces.d'),
  ];
  return texts.flatMap((text) =>
    text.split(/^(?=[ \t]*iface[ \t])/m).flatMap((part) => {
      const name = /^[ \t]*iface[ \t]+(\S+)/.exec(part)?.[1];
      if (name === undefined) return [];
      const addresses = [...part.matchAll(/^[ \t]*address[ \t]+(\S+)/gm)].map(
        ([, address = '']) => address,
      );
      return [claim(name, '', addresses)];
    }),
  );
}

const ethernets = ['network', 'ethernets'];

/** An entry with `match` goes by that; its key is a word of its own. */
function netplanClaims(files: GuestFiles): Claim[] {
  return textsIn(files, '/etc/netplan', '.yaml').flatMap((text) => {
    const document = parseDocument(text);
    const all = document.errors.length === 0 ? document.getIn(ethernets) : undefined;
    if (!isMap(all)) return [];
    return all.items.map(({ key }) => {
      const at = [...ethernets, String(key)];
      const matches = document.hasIn([...at, 'match']);
      const name = matches ? textAt(document, [...at, 'set-name']) : String(key);
      const mac = textAt(document, [...at, 'match', 'macaddress']);
      return claim(name, mac, wordsAt(document, [...at, 'addresses']));
    });
  });
}

function textAt(document: Document, path: readonly string[]): string {
  const value = document.getIn(path);
  return typeof value === 'string' ? value : '';
}

/** An address with options of its own is the key of a map. */
function wordsAt(document: Document, path: readonly string[]): string[] {
  const list = document.getIn(path);
  if (!isSeq(list)) return [];
  return list.items.map((item) => {
    const word = isMap(item) ? item.items[0]?.key : item;
    return isScalar(word) && typeof word.value === 'string' ? word.value : '';
  });
}

const profileClaims = (files: GuestFiles): Claim[] =>
  textsIn(files, '/etc/NetworkManager/system-connections').map((text) => {
    const of = (section: string, key: string): string => valuesOf(text, section, key)[0] ?? '';
    const mac = of('ethernet', 'mac-address') || of('802-3-ethernet', 'mac-address');
    const addresses = ['ipv4', 'ipv6'].flatMap((section) =>
      addressKeys(text).flatMap((key) => valuesOf(text, section, key)),
    );
    return claim(of('connection', 'interface-name'), mac, addresses);
  });

/** `address`, `address1`, and `addresses` of old. */
const addressKeys = (text: string): string[] => [
  ...new Set([...text.matchAll(/^[ \t]*(address(?:es)?\d*)[ \t]*=/gm)].map(([, key = '']) => key)),
];

const networkdClaims = (files: GuestFiles): Claim[] =>
  textsIn(files, '/etc/systemd/network', '.network').flatMap((text) => {
    const words = (key: string): string[] =>
      valuesOf(text, 'Match', key).flatMap((value) => value.split(/\s+/));
    const [mac = '', ...otherMacs] = words('MACAddress');
    const addresses = ['Network', 'Address'].flatMap((section) =>
      valuesOf(text, section, 'Address'),
    );
    const names = words('Name');
    // Who serves several says of none what is its own.
    if (names.length > 1 || otherMacs.length > 0) return names.map((name) => claim(name));
    return [claim(names[0] ?? '', mac, addresses)];
  });

/** Red Hat's and SUSE's: the name of the file, unless the text has another. */
function ifcfgClaims(files: GuestFiles): Claim[] {
  return ['/etc/sysconfig/network-scripts', '/etc/sysconfig/network'].flatMap((folder) =>
    filesIn(files, folder).flatMap((path) => {
      const name = /\/ifcfg-([^/]+)$/.exec(path)?.[1];
      if (name === undefined) return [];
      const text = files.get(path) ?? '';
      const addresses = valuesLike(text, /^(?:IPADDR|IPV6ADDR)(?:_?\w*)$/);
      return [claim(valueIn(text, 'DEVICE') ?? name, valueIn(text, 'HWADDR'), addresses)];
    }),
  );
}

/** Who named a card before: udev's rules of old, and .link files. */
function ruleClaims(files: GuestFiles): Claim[] {
  const rules = files.get('/etc/udev/rules.d/70-persistent-net.rules') ?? '';
  const lines = rules.split('\n').filter((line) => !line.trimStart().startsWith('#'));
  return [
    ...lines.flatMap((line) => {
      const mac = /ATTR\{address\}=="([^"]*)"/.exec(line)?.[1];
      const name = /\bNAME="([^"]*)"/.exec(line)?.[1];
      return mac === undefined || name === undefined ? [] : [claim(name, mac)];
    }),
    ...textsIn(files, '/etc/systemd/network', '.link').flatMap((text) => {
      const [name] = valuesOf(text, 'Link', 'Name');
      const [mac] = valuesOf(text, 'Match', 'MACAddress');
      return name === undefined || mac === undefined ? [] : [claim(name, mac)];
    }),
  ];
}
