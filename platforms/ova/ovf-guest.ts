/** Which system an OVF says its guest is: VMware's name, a description, or CIM's number. */
import type { Element } from '@xmldom/xmldom';
import type { ForeignVm } from '../../domain/foreign.ts';
import { attribute, child, childText, parts, textOf } from './ovf-xml.ts';

export interface GuestSystem {
  /** As the exporter calls it; empty if it does not. */
  name: string;
  family: ForeignVm['guestFamily'];
  arch: string;
}

/** CIM_OperatingSystem.OsType: those of Windows and of Linux that exporters write. */
const windowsIds = [
  ...[15, 16, 17, 18, 19, 58, 63, 65, 67, 69, 70, 71, 73, 74, 75, 76, 77, 78, 89, 90, 103, 105],
  ...[111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 124, 125],
];
const linuxIds = [
  ...[36, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101],
  ...[106, 107, 108, 109, 110, 123, 126, 127, 128],
];

const linuxNames =
  /linux|ubuntu|debian|centos|rhel|red ?hat|fedora|suse|sles|oracle(?!.*solaris)|alma|rocky|amazon|photon|coreos|flatcar|gentoo|arch_|mandriva|turbo|asianux/i;

/** Of a virtual system. */
export function guestSystem(system: Element): GuestSystem {
  const [section] = parts(system, 'OperatingSystemSection');
  const osType = attribute(section, 'osType', 'vmware');
  const description = childText(section, 'Description', 'ovf');
  const virtualBox = textOf(child(section, 'OSType', 'virtualbox'));
  const name = [osType, virtualBox, description].find((one) => one !== '') ?? '';
  const all = [osType, virtualBox, description].join(' ');
  const arch = /^arm|arm64|aarch64/i.test(all) ? 'aarch64' : 'x86_64';
  return { name, arch, family: familyOf(all, Number(attribute(section, 'id'))) };
}

function familyOf(names: string, id: number): GuestSystem['family'] {
  if (/\bwin|windows/i.test(names) && !/darwin/i.test(names)) return 'windows';
  if (linuxNames.test(names)) return 'linux';
  // What a name says counts more: many exporters write 1 or 36 for everything.
  if (windowsIds.includes(id)) return 'windows';
  return linuxIds.includes(id) ? 'linux' : 'other';
}
