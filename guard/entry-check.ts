import { isAbsolute } from 'node:path';
import type { LedgerEntry } from '../domain/ownership.ts';
import { ledgerLimits } from './ledger-file.ts';

/** What keeps an entry from being written, for the error's message; undefined if nothing does. */
export function whatIsWrong(entry: LedgerEntry): string | undefined {
  if (!Number.isSafeInteger(entry.epoch) || entry.epoch < 1) return `epoch ${entry.epoch}`;
  if (entry.disks.length > ledgerLimits.disks) return `${entry.disks.length} disks`;
  for (const text of [entry.name, entry.migrationId]) {
    if (Buffer.byteLength(text) > ledgerLimits.textBytes) return 'a name or ID is too long';
  }
  for (const { path, identity } of entry.disks) {
    if (
      !(isAbsolute(path) || isNetworkName(path)) ||
      Buffer.byteLength(path) > ledgerLimits.pathBytes ||
      path.includes('\0')
    ) {
      return `"${path.slice(0, 200)}" is no absolute path and no network name of a disk`;
    }
    if (!/^(?:\d+:\d+(?::\d+)?|block:\d+:\d+)?$/.test(identity)) {
      return `"${identity.slice(0, 200)}" is no identity of a disk`;
    }
  }
  return undefined;
}

/** `rbd:pool/image`, `iscsi:<iqn>/<lun>`, `nfs:<path>`: what the hook makes of a definition's `protocol` and `name`. */
const isNetworkName = (path: string): boolean => /^[a-z][a-z0-9+-]*:./.test(path);
