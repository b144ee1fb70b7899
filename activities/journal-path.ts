import { join } from 'node:path';
import type { PlaceKind } from '../domain/vm.ts';
import { journalPathFor } from '../transfer/journal.ts';
import type { HostParts } from './parts.ts';

/**
 * Where the journal of a copy lies: beside a file, so that it goes where the file goes; for a device or a network
 * image in the worker's state folder, by the image's name.
 */
export const journalPathOf = (
  { stateDir }: Pick<HostParts, 'stateDir'>,
  { kind, path }: { kind: PlaceKind; path: string },
): string =>
  kind === 'file'
    ? journalPathFor(path)
    : join(stateDir, 'journals', `${encodeURIComponent(path)}.journal`);
