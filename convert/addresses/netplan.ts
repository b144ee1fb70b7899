/** netplan: an interface that is named is matched by its MAC, and gets its name from it. */
import { isMap, isScalar, isSeq, parseDocument, stringify } from 'yaml';
import type { Document } from 'yaml';
import { changeOf, filesIn, labelOf, ownHeader } from './guest-files.ts';
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { familiesOf, gatewayOf, versionOf } from './interfaces.ts';
import type { KeptInterface } from './interfaces.ts';

const folder = '/etc/netplan';
const mode = 0o600;

export const usesNetplan = (files: GuestFiles): boolean =>
  filesIn(files, folder, '.yaml').length > 0;

/** Files that are no YAML, or hold aliases, are left as they are: nobody could change them and keep their sense. */
export function netplanChanges(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
): FileChange[] {
  const known = new Set<string>();
  const changes = filesIn(files, folder, '.yaml').flatMap((path) => {
    let text = files.get(path) ?? '';
    for (const one of interfaces) {
      const document = parse(text);
      const found = document && findEntry(document, one);
      if (document === undefined || found === undefined) continue;
      known.add(one.mac);
      if (found === 'by-name') text = matchByMac(document, one, text);
    }
    return changeOf(files, path, text, mode);
  });
  const missing = interfaces.filter(
    ({ mac, addresses }) => addresses.length > 0 && !known.has(mac),
  );
  if (!usesNetplan(files) || missing.length === 0) return changes;
  const own = missing.flatMap((one) =>
    changeOf(files, `${folder}/90-vmferry-${labelOf(one)}.yaml`, ownFile(one), mode),
  );
  return [...changes, ...own];
}

function parse(text: string): Document | undefined {
  const document = parseDocument(text, { keepSourceTokens: true });
  const broken = document.errors.length > 0 || /^[^#]*[&*]\w/m.test(text);
  return broken || !isMap(document.contents) ? undefined : document;
}

const ethernets = ['network', 'ethernets'];

function findEntry(
  document: Document,
  { mac, name }: KeptInterface,
): 'by-name' | 'other' | undefined {
  const all = document.getIn(ethernets);
  if (!isMap(all)) return undefined;
  for (const { key } of all.items) {
    const id = String(key);
    const macAddress = document.getIn([...ethernets, id, 'match', 'macaddress']);
    if (typeof macAddress === 'string' && macAddress.toLowerCase() === mac) return 'other';
    // Without `match` the entry's key is the name itself.
    const matches = document.hasIn([...ethernets, id, 'match']);
    if (id === name && isMap(document.getIn([...ethernets, id])))
      return matches ? 'other' : 'by-name';
  }
  return undefined;
}

/** In the text itself, so that every other byte stays; an entry within braces is written anew. */
function matchByMac(document: Document, { mac, name }: KeptInterface, text: string): string {
  const entry = document.getIn([...ethernets, name]);
  const first = isMap(entry) && entry.flow !== true ? entry.items[0]?.key : undefined;
  const at = isScalar(first) ? first.range?.[0] : undefined;
  if (at === undefined) {
    document.setIn([...ethernets, name, 'match'], document.createNode({ macaddress: mac }));
    document.setIn([...ethernets, name, 'set-name'], name);
    return String(document);
  }
  const indent = ' '.repeat(at - (text.lastIndexOf('\n', at - 1) + 1));
  // Quoted: a MAC of digits alone, or a name such as `no`, would be read as a number or a truth value.
  const lines = ['match:', `  macaddress: "${mac}"`, `set-name: "${name}"`];
  return text.slice(0, at) + lines.map((line) => `${line}\n${indent}`).join('') + text.slice(at);
}

function ownFile(one: KeptInterface): string {
  const routes = ([4, 6] as const).flatMap((family) => {
    const via = gatewayOf(one, family);
    return via === undefined ? [] : [{ to: family === 4 ? '0.0.0.0/0' : '::/0', via }];
  });
  const nameservers = {
    ...(one.dns.length > 0 && { addresses: one.dns }),
    ...(one.searchDomains.length > 0 && { search: one.searchDomains }),
  };
  const entry = {
    match: { macaddress: one.mac },
    ...(one.name !== '' && { 'set-name': one.name }),
    addresses: one.addresses.map(({ address, prefix }) => `${address}/${prefix}`),
    ...(routes.length > 0 && { routes }),
    ...(Object.keys(nameservers).length > 0 && { nameservers }),
  };
  return ownHeader + stringify({ network: { version: 2, ethernets: { [labelOf(one)]: entry } } });
}

/** In the entry that is for it, or for all cards where it is the only one. Routes by the old gateway go with it. */
export function netplanSet(files: GuestFiles, one: KeptInterface, isOnly: boolean): SetAnswer {
  const changes: FileChange[] = [];
  let answer: SetAnswer = 'not-here';
  for (const path of filesIn(files, folder, '.yaml')) {
    const text = files.get(path) ?? '';
    const document = parse(text);
    const id = document && idFor(document, one, isOnly);
    if (document === undefined || id === undefined) continue;
    if (isPart(document, id)) return 'part';
    answer = changes;
    const before = JSON.stringify(document);
    setEntry(document, [...ethernets, id], one);
    if (JSON.stringify(document) !== before)
      changes.push(...changeOf(files, path, String(document), mode));
  }
  return answer;
}

function idFor(document: Document, one: KeptInterface, isOnly: boolean): string | undefined {
  const all = document.getIn(ethernets);
  const ids = isMap(all) ? all.items.map(({ key }) => String(key)) : [];
  return ids.find((id) => {
    if (!isMap(document.getIn([...ethernets, id]))) return false;
    const match = [...ethernets, id, 'match'];
    const mac = document.getIn([...match, 'macaddress']);
    if (typeof mac === 'string') return mac.toLowerCase() === one.mac;
    return document.hasIn(match) ? isOnly : id === one.name;
  });
}

function isPart(document: Document, id: string): boolean {
  return ['bridges', 'bonds'].some((kind) => {
    const all = document.getIn(['network', kind]);
    if (!isMap(all)) return false;
    return all.items.some(({ key }) =>
      listAt(document, ['network', kind, String(key), 'interfaces']).includes(id),
    );
  });
}

/** As they stand there: words, or maps of options. */
function listAt(document: Document, path: readonly string[]): unknown[] {
  const list = document.getIn(path);
  return isSeq(list) ? list.toJSON() : [];
}

const addressIn = (item: unknown): string =>
  typeof item === 'string' ? item : (Object.keys(item ?? {})[0] ?? '');
const anywhere = { 4: /^(?:default|0\.0\.0\.0\/0|0\/0)$/, 6: /^(?:default|::\/0|0\/0)$/ };

function setEntry(document: Document, at: readonly string[], one: KeptInterface): void {
  const families = familiesOf(one);
  const staying = listAt(document, [...at, 'addresses']).filter(
    (item) => !families.includes(versionOf(addressIn(item))),
  );
  const set = one.addresses.map(({ address, prefix }) => `${address}/${prefix}`);
  document.setIn([...at, 'addresses'], document.createNode([...set, ...staying]));
  for (const family of families) {
    document.setIn([...at, `dhcp${family}`], false);
    const via = gatewayOf(one, family);
    if (via === undefined) continue;
    document.deleteIn([...at, `gateway${family}`]);
    const others = listAt(document, [...at, 'routes']).filter((route) => {
      const { to, via: by } = (route ?? {}) as { to?: unknown; via?: unknown };
      return !anywhere[family].test(String(to)) || versionOf(String(by)) !== family;
    });
    const routes = [{ to: family === 4 ? '0.0.0.0/0' : '::/0', via }, ...others];
    document.setIn([...at, 'routes'], document.createNode(routes));
  }
  if (one.set?.dns !== true) return;
  mapAt(document, [...at, 'nameservers']);
  document.setIn([...at, 'nameservers', 'addresses'], document.createNode(one.dns));
}

/** There is one after that, whatever was there. */
function mapAt(document: Document, path: readonly string[]): void {
  if (!isMap(document.getIn(path))) document.setIn(path, document.createNode({}));
}
