/** All that a Linux guest needs to keep its addresses: each system that it uses is asked in turn. */
import type { FileChange, GuestFiles, SetAnswer } from './guest-files.ts';
import { ifcfgChanges, ifcfgSet, usesIfcfg } from './ifcfg.ts';
import { ifupdownChanges, ifupdownSet, usesIfupdown } from './ifupdown.ts';
import type { KeptInterface } from './interfaces.ts';
import { namesLeft, statedIn, withKnownNames } from './known-names.ts';
import { newMacs } from './new-macs.ts';
import { netplanChanges, netplanSet, usesNetplan } from './netplan.ts';
import { networkManagerChanges, networkManagerSet, usesKeyfiles } from './network-manager.ts';
import { networkdChanges, networkdSet, usesNetworkd } from './networkd.ts';
import { renameChanges } from './rename.ts';
import { usesWicked, wickedChanges, wickedSet } from './wicked.ts';

export const maxGuestFileBytes = 64 * 1024;

export interface AddressPlan {
  changes: FileChange[];
  /** Systems that were found: `ifupdown`, `netplan`. */
  systems: string[];
  /** What could not be told or done, each a sentence. */
  notes: string[];
  /** Addresses that were asked for and cannot be set, each a clause with the reason. */
  refused: string[];
}

interface System {
  name: string;
  /** It can be told of a card by its MAC alone. */
  byMac: boolean;
  uses: (files: GuestFiles) => boolean;
  changes: (files: GuestFiles, interfaces: readonly KeptInterface[]) => FileChange[];
  set: (files: GuestFiles, one: KeptInterface, isOnly: boolean) => SetAnswer;
}

const systems: readonly System[] = [
  { name: 'netplan', byMac: true, uses: usesNetplan, changes: netplanChanges, set: netplanSet },
  { name: 'ifcfg', byMac: false, uses: usesIfcfg, changes: ifcfgChanges, set: ifcfgSet },
  { name: 'wicked', byMac: false, uses: usesWicked, changes: wickedChanges, set: wickedSet },
  {
    name: 'ifupdown',
    byMac: false,
    uses: usesIfupdown,
    changes: ifupdownChanges,
    set: ifupdownSet,
  },
  {
    name: 'network-manager',
    byMac: true,
    uses: usesKeyfiles,
    changes: networkManagerChanges,
    set: networkManagerSet,
  },
  {
    name: 'systemd-networkd',
    byMac: true,
    uses: usesNetworkd,
    changes: networkdChanges,
    set: networkdSet,
  },
];

/**
 * The first system in the list that tells of an interface has it; an interface that none tells of goes to the first
 * system that the guest uses. Two of them with the same address would fight over it. `interfaces` are all the VM's
 * cards. Pure; the same again on its own result gives no changes.
 */
export function linuxAddressPlan(
  files: GuestFiles,
  interfaces: readonly KeptInterface[],
  systemd: boolean,
): AddressPlan {
  const used = systems.filter(({ uses }) => uses(files));
  const now = new Map(files);
  const changes = new Map<string, FileChange>();
  const take = (some: readonly FileChange[]): void => {
    for (const change of some) {
      now.set(change.path, change.content);
      changes.set(change.path, change);
    }
  };
  take(newMacs(now, interfaces));
  const all = withKnownNames(now, interfaces);
  const notes: string[] = [];
  const refused: string[] = [];
  const coming = all.filter(({ stays }) => stays !== true);
  take(
    renameChanges(
      now,
      coming.filter(({ name }) => name !== ''),
      systemd,
    ),
  );
  for (const one of coming) {
    // With no addresses to add, what is left is the change of what is there already.
    for (const system of used) take(system.changes(now, [{ ...one, addresses: [] }]));
    if (one.set !== undefined) {
      const why = setAddresses({ files: now, used, take }, one, coming.length === 1);
      if (why !== undefined) refused.push(`${listOf(one)} (${one.mac}): ${why}`);
      continue;
    }
    const isTold = (system: System): boolean => system.changes(now, [one]).length === 0;
    if (one.addresses.length === 0 || (one.name !== '' && used.some(isTold))) continue;
    const set = one.addresses.map(({ address }) => address);
    if (statedIn(now, set).length === set.length) continue;
    const able = used.find(({ byMac }) => byMac || one.name !== '');
    if (able === undefined) notes.push(notSet(one, set, used));
    else take(able.changes(now, [one]));
  }
  const unknown = unknownNames(now, all);
  return {
    changes: [...changes.values()],
    systems: used.map(({ name }) => name),
    notes: [...notes, ...unknown],
    refused,
  };
}

interface Setting {
  files: GuestFiles;
  used: readonly System[];
  take: (changes: readonly FileChange[]) => void;
}

/** In each system that has it already, else by the first that the guest uses. Gives why it cannot be done. */
function setAddresses(
  { files, used, take }: Setting,
  one: KeptInterface,
  isOnly: boolean,
): string | undefined {
  let isHeld = false;
  for (const system of used) {
    const answer = system.set(files, one, isOnly);
    if (answer === 'part')
      return `${one.name === '' ? 'the card' : one.name} is a part of a bridge or a bond there (${system.name})`;
    if (answer === 'not-here') continue;
    isHeld = true;
    take(answer);
  }
  if (isHeld) return undefined;
  const able = used.find(({ byMac }) => byMac || one.name !== '');
  if (able !== undefined) take(able.changes(files, [one]));
  else if (used.length === 0) return 'its way to set addresses is not known';
  else return 'nothing tells what the guest calls that card';
  return undefined;
}

const listOf = ({ addresses }: KeptInterface): string =>
  addresses.map(({ address, prefix }) => `${address}/${prefix}`).join(', ');

const notSet = (
  { mac }: KeptInterface,
  addresses: readonly string[],
  used: readonly System[],
): string =>
  used.length === 0
    ? `To be set by hand in this guest, whose way to set them is not known: ${addresses.join(', ')} (${mac}).`
    : `To be set by hand, since nothing tells the name of its card ${mac}: ${addresses.join(', ')}.`;

/** Names of cards that the files have and that nothing ties to a card. */
function unknownNames(files: GuestFiles, all: readonly KeptInterface[]): string[] {
  const nameless = all.filter(({ name, stays }) => name === '' && stays !== true);
  const left = namesLeft(files, all);
  if (nameless.length === 0 || left.length === 0) return [];
  const macs = nameless.map(({ mac }) => mac).join(', ');
  return [
    `Nothing tells which of its cards ${macs} is ${left.join(' or ')}: look at their names and addresses after the start.`,
  ];
}
