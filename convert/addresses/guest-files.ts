/** Files of a guest, as they were read, and what is to be written. Paths are absolute inside the guest. */
export type GuestFiles = ReadonlyMap<string, string>;

export interface FileChange {
  path: string;
  content: string;
  /** Of a new file; an existing one keeps its own. */
  mode: number;
}

/** What stands at the top of files that are ours alone. */
export const ownHeader =
  '# Made by vmferry, which moved this machine; keeps its addresses by the MAC.\n';

/** Paths of the files that lie right in a folder and end so, in order of their names. */
export const filesIn = (files: GuestFiles, folder: string, ending = ''): string[] =>
  [...files.keys()]
    .filter((path) => path.startsWith(`${folder}/`) && path.endsWith(ending))
    .filter((path) => !path.slice(folder.length + 1).includes('/'))
    .toSorted();

/** The change, if it is one. */
export const changeOf = (
  files: GuestFiles,
  path: string,
  content: string,
  mode = 0o644,
): FileChange[] => (files.get(path) === content ? [] : [{ path, content, mode }]);

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

/** What files of ours are called after: the interface, or its MAC where it has no name that is known. */
export const labelOf = ({ name, mac }: { name: string; mac: string }): string =>
  name === '' ? `mac-${mac.replaceAll(':', '')}` : name;

/**
 * The changes by which a system gives an interface other addresses in the files that it has of it already. `part`: it
 * is a part of something else (a bridge, a bond), which has the addresses.
 */
export type SetAnswer = FileChange[] | 'not-here' | 'part';
