/** What a VM and its volumes may be called on a libvirt host. */

/** libvirt keeps a VM's definition in a file of its name, and file names end at 255 bytes with `.xml`. */
const longestNameBytes = 240;
/** Leaves room for the number and the ending. */
const longestBase = 100;
/** One part of a name in DNS, without upper case since DNS knows none. */
const dnsLabel = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** Bytes in UTF-8. A lone half of a surrogate pair takes three, as any encoder writes it. */
function bytesIn(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) bytes += 1;
    else if (point < 0x800) bytes += 2;
    else bytes += point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/** Why libvirt or its files cannot have a VM of that name, as a clause; undefined if they can. */
export function nameTrouble(name: string): string | undefined {
  if (name.trim() === '') return 'it is empty';
  if (name.trim() !== name) return 'it begins or ends with a blank';
  if (name.includes('/')) return 'it has a slash';
  // Names become names of files, and stand in XML and on terminals.
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(name)) return 'it has a control character';
  if (name === '.' || name === '..') return 'it is the name of a folder';
  if (/^-/.test(name)) return 'programs would take it for an option';
  if (bytesIn(name) > longestNameBytes) return `it is longer than ${longestNameBytes} bytes`;
  return undefined;
}

/** Whether a VM's name can be its host name as well. */
export const isDnsLabel = (name: string): boolean => dnsLabel.test(name);

/** What its volumes' names begin with: what every kind of storage takes, LVM being the strictest. */
export function volumeBase(name: string): string {
  const base = name
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^[.-]+/, '')
    .slice(0, longestBase);
  return base === '' ? 'vm' : base;
}
