/** Debian's ifupdown: by name only; the name is kept by `rename.ts`, so only what nobody configured is added. */
import { changeOf, filesIn, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { familiesOf, gatewayOf } from './interfaces.ts';
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

const keyword =
  /^(?=[ \t]*(?:iface|auto|allow-\S+|mapping|source(?:-directory)?|no-\S+|rename)[ \t])/m;

interface Stanza {
  name: string;
  family: 4 | 6;
  /** With what they say, without the first line. */
  options: string[];
  /** Blank lines and comments before the next one. */
  tail: string;
}

function stanzaOf(part: string): Stanza | undefined {
  const found = /^[ \t]*iface[ \t]+(\S+)[ \t]+(inet6?)[ \t]/.exec(part);
  if (found === null) return undefined;
  const lines = part.split('\n');
  const end = lines.findLastIndex((line) => !/^\s*(?:#.*)?$/.test(line)) + 1;
  return {
    name: found[1] ?? '',
    family: found[2] === 'inet' ? 4 : 6,
    options: lines.slice(1, end),
    tail: lines.slice(end).join('\n'),
  };
}

const wordsOf = (line: string): string[] => line.trim().split(/\s+/);
const builders = /^(?:bridge[_-]ports|bond[_-]slaves|slaves|bond[_-]master)$/;

const isPart = (part: string, name: string): boolean =>
  part.split('\n').some((line) => {
    const [key = '', ...values] = wordsOf(line);
    if (!builders.test(key)) return false;
    return /master$/.test(key) ? stanzaOf(part)?.name === name : values.includes(name);
  });

/** What else stands in its stanzas stays: a length of packets, commands. */
export function ifupdownSet(files: GuestFiles, one: KeptInterface): SetAnswer {
  const parts = [main, ...filesIn(files, folder)].map((path) => ({
    path,
    parts: (files.get(path) ?? '').split(keyword),
  }));
  const all = parts.flatMap((file) => file.parts);
  if (all.some((part) => isPart(part, one.name))) return 'part';
  const mine = all.flatMap((part) => stanzaOf(part) ?? []).filter(({ name }) => name === one.name);
  if (mine.length === 0) return 'not-here';
  const families = familiesOf(one);
  const left = new Set<4 | 6>(families);
  const last = mine.length;
  let seen = 0;
  return parts.flatMap((file) => {
    const now = file.parts.map((part) => {
      const stanza = stanzaOf(part);
      if (stanza?.name !== one.name) return part;
      seen += 1;
      const { family, options, tail } = stanza;
      const begun = families.includes(family)
        ? left.delete(family)
          ? [given(one, family, options)]
          : []
        : [part.slice(0, part.length - tail.length).replace(/\n$/, '')];
      // What it had no stanza for comes after its last one.
      const more = seen === last ? [...left].map((each) => given(one, each, [])) : [];
      if (seen === last) left.clear();
      const text = [...begun, ...more].join('\n');
      return text === '' ? tail : `${text}\n${tail}`;
    });
    return changeOf(files, file.path, now.join(''));
  });
}

/** One stanza for each address; the first has the options. */
function given(one: KeptInterface, family: 4 | 6, options: readonly string[]): string {
  const gateway = gatewayOf(one, family);
  const dns = one.set?.dns === true && family === familiesOf(one)[0];
  const gone = new Set([
    ...['address', 'netmask', 'broadcast', 'network', 'autoconf'],
    ...(gateway === undefined ? [] : ['gateway']),
    ...(one.set?.dns === true ? ['dns-nameservers', 'dns-nameserver'] : []),
  ]);
  const kept = options.filter((line) => !gone.has(wordsOf(line)[0] ?? ''));
  return one.addresses
    .filter((address) => address.family === family)
    .map(({ address, prefix }, index) =>
      [
        `iface ${one.name} ${family === 4 ? 'inet' : 'inet6'} static`,
        `    address ${address}/${prefix}`,
        ...(index === 0 && gateway !== undefined ? [`    gateway ${gateway}`] : []),
        ...(index === 0 && dns ? [`    dns-nameservers ${one.dns.join(' ')}`] : []),
        ...(index === 0 ? kept : []),
      ].join('\n'),
    )
    .join('\n');
}
