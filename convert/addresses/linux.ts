/** All that a Linux guest needs to keep its addresses: each system that it uses is asked in turn. */
import type { FileChange, GuestFiles } from './guest-files.ts';
import { ifcfgChanges, usesIfcfg } from './ifcfg.ts';
import { ifupdownChanges, usesIfupdown } from './ifupdown.ts';
import type { KeptInterface } from './interfaces.ts';
import { netplanChanges, usesNetplan } from './netplan.ts';
import { networkManagerChanges, usesKeyfiles } from './network-manager.ts';
import { networkdChanges, usesNetworkd } from './networkd.ts';
import { renameChanges } from './rename.ts';
import { usesWicked, wickedChanges } from './wicked.ts';

/** Folders whose files decide; only plain files of at most `maxGuestFileBytes` in them are read. */
export const addressFolders: readonly string[] = [
  '/etc/network',
  '/etc/network/interfaces.d',
  '/etc/NetworkManager',
  '/etc/NetworkManager/system-connections',
  '/etc/netplan',
  '/etc/systemd/network',
  '/etc/sysconfig/network-scripts',
  '/etc/sysconfig/network',
  '/etc/udev/rules.d',
];
export const maxGuestFileBytes = 64 * 1024;

export interface AddressPlan {
  changes: FileChange[];
  /** Systems that were found: `ifupdown`, `netplan`. */
  systems: string[];
}

interface System {
  name: string;
  uses: (files: GuestFiles) => boolean;
  changes: (files: GuestFiles, interfaces: readonly KeptInterface[]) => FileChange[];
}

const systems: readonly System[] = [
  { name: 'netplan', uses: usesNetplan, changes: netplanChanges },
  { name: 'ifcfg', uses: usesIfcfg, changes: ifcfgChanges },
  { name: 'wicked', uses: usesWicked, changes: wickedChanges },
  { name: 'ifupdown', uses: usesIfupdown, changes: ifupdownChanges },
  { name: 'network-manager', uses: usesKeyfiles, changes: networkManagerChanges },
  { name: 'systemd-networkd', uses: usesNetworkd, changes: networkdChanges },
];

/**
 * The first system in the list that tells of an interface has it; an interface that none tells of goes to the first
 * system that the guest uses. Two of them with the same address would fight over it. Pure; the same again on its
 * own result gives no changes.
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
  take(renameChanges(now, interfaces, systemd));
  for (const one of interfaces) {
    // With no addresses to add, what is left is the change of what is there already.
    for (const system of used) take(system.changes(now, [{ ...one, addresses: [] }]));
    const told = used.some((system) => system.changes(now, [one]).length === 0);
    if (told || one.addresses.length === 0) continue;
    take(used[0]?.changes(now, [one]) ?? []);
  }
  return { changes: [...changes.values()], systems: used.map(({ name }) => name) };
}
