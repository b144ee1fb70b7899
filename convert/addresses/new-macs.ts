/** A card that gets another MAC on its way: what the guest's files tie to the old one follows it. */
import { addressFolders, changeOf, filesIn } from './guest-files.ts';
import type { FileChange, GuestFiles } from './guest-files.ts';
import type { KeptInterface } from './interfaces.ts';

/** All at once: two cards may have changed theirs with one another. */
export function newMacs(files: GuestFiles, interfaces: readonly KeptInterface[]): FileChange[] {
  const macs = new Map(
    interfaces.flatMap(({ mac, formerMac }) => (formerMac === undefined ? [] : [[formerMac, mac]])),
  );
  if (macs.size === 0) return [];
  const any = new RegExp([...macs.keys()].join('|'), 'gi');
  const paths = addressFolders.flatMap((folder) => filesIn(files, folder));
  return paths.flatMap((path) => {
    const text = files.get(path) ?? '';
    return changeOf(
      files,
      path,
      text.replaceAll(any, (mac) => macs.get(mac.toLowerCase()) ?? mac),
    );
  });
}
