/**
 * The small text beside a disk's bytes that says where they are. Source of the format: VMware's "Virtual Disk Format
 * 5.0", sections "The Descriptor" and "Extents".
 */
import { permanent } from '../../domain/errors.ts';

export interface VmdkExtent {
  /** Bytes. */
  length: number;
  /** `VMFS`, `FLAT`, `VMFSSPARSE`, `SESPARSE`, `VMFSRDM`, ... */
  type: string;
  file: string;
  /** Where in the file it begins, bytes. */
  offset: number;
}

export interface VmdkDescriptor {
  /** Eight hex digits; another one after the first write of each opening. */
  contentId: string;
  /** `ffffffff` if it lies on nothing. */
  parentContentId: string;
  createType: string;
  extents: VmdkExtent[];
}

/** The real ones have half a KiB. */
export const longestDescriptorBytes = 64 * 1024;
const mostExtents = 4_096;
const sectorBytes = 512;
const extentLine =
  /^(?:RW|RDONLY|NOACCESS) (\d{1,13}) (\w{1,16})(?: "([^"]{1,255})")?(?: (\d{1,13}))?$/;

/** Throws VmFerryError `vsphere-descriptor-invalid`; `what` names the disk. */
export function parseDescriptor(text: string, what: string): VmdkDescriptor {
  const lines = text.split(/\r?\n/, longestDescriptorBytes).map((line) => line.trim());
  if (lines[0] !== '# Disk DescriptorFile') throw invalid(what, 'it does not begin as one');
  const settings = new Map<string, string>();
  const extents: VmdkExtent[] = [];
  for (const line of lines) {
    if (/^(?:RW|RDONLY|NOACCESS)\s/.test(line)) {
      if (extents.length >= mostExtents)
        throw invalid(what, `it has more than ${mostExtents} extents`);
      extents.push(extentOf(line.replaceAll(/\s+/g, ' '), what));
      continue;
    }
    const [, key, value] = /^([A-Za-z]{1,32})\s*=\s*"?([^"]*?)"?$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) settings.set(key, value);
  }
  if (extents.length === 0) throw invalid(what, 'it names no extents');
  return {
    contentId: settings.get('CID') ?? '',
    parentContentId: settings.get('parentCID') ?? 'ffffffff',
    createType: settings.get('createType') ?? '',
    extents,
  };
}

function extentOf(line: string, what: string): VmdkExtent {
  const [, sectors, type, file = '', offset = '0'] = extentLine.exec(line) ?? [];
  const length = Number(sectors) * sectorBytes;
  const start = Number(offset) * sectorBytes;
  if (type === undefined || !Number.isSafeInteger(length + start)) {
    throw invalid(what, `"${line.slice(0, 100)}" is no extent`);
  }
  return { length, type, file, offset: start };
}

const invalid = (what: string, why: string): Error =>
  permanent({
    code: 'vsphere-descriptor-invalid',
    message: `the descriptor of ${what} cannot be read: ${why}`,
    remedy:
      'Look at the .vmdk file on the datastore: it has to be the text that names the extents.',
  });
