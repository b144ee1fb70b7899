/**
 * Hives of a Windows registry, written from nothing: as much of the format as hivex reads and adds to. Little-endian; a
 * header of 4 KiB, then one bin of cells; places are counted from the bin.
 * Format: https://github.com/libguestfs/hivex/blob/master/lib/hivex-internal.h
 */
export interface HiveKey {
  keys?: Readonly<Record<string, HiveKey>>;
  values?: Readonly<Record<string, string | number>>;
}

const pageBytes = 4096;
const nowhere = 0xff_ff_ff_ff;
/** REG_SZ, REG_DWORD. */
const [textType, numberType] = [1, 4];

export function hiveOf(root: HiveKey): Buffer {
  const cells = new Cells();
  const security = cells.add(securityCell());
  cells.setU32(security + 4, security);
  cells.setU32(security + 8, security);
  const at = addKey(cells, root, { name: '$$$PROTO.HIV', parent: nowhere, security, isRoot: true });
  return Buffer.concat([header(at, cells.whole().length), cells.whole()]);
}

/** Cells one after another; a place is that of the cell's length, as the format has it. */
class Cells {
  #bytes = Buffer.alloc(32);

  add(content: Buffer): number {
    const place = this.#bytes.length;
    const cell = Buffer.alloc(Math.ceil((content.length + 4) / 8) * 8);
    // Negative: it is in use.
    cell.writeInt32LE(-cell.length, 0);
    content.copy(cell, 4);
    this.#bytes = Buffer.concat([this.#bytes, cell]);
    return place;
  }

  /** Within a cell's content, past its length. */
  setU32(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset + 4);
  }

  /** The bin, filled up with a free cell. */
  whole(): Buffer {
    const length = Math.ceil((this.#bytes.length + 8) / pageBytes) * pageBytes;
    const all = Buffer.alloc(length);
    this.#bytes.copy(all);
    all.writeInt32LE(length - this.#bytes.length, this.#bytes.length);
    all.write('hbin', 0, 'latin1');
    all.writeUInt32LE(0, 4);
    all.writeUInt32LE(length, 8);
    return all;
  }
}

interface KeyPlace {
  name: string;
  parent: number;
  security: number;
  isRoot?: boolean;
}

function addKey(cells: Cells, key: HiveKey, { name, parent, security, isRoot }: KeyPlace): number {
  const { keys = {}, values = {} } = key;
  const named = Buffer.from(name, 'latin1');
  const content = Buffer.alloc(76 + named.length);
  content.write('nk', 0, 'latin1');
  // Its name is in Latin-1; the root's cell says that it is one.
  content.writeUInt16LE(isRoot === true ? 0x2c : 0x20, 2);
  content.writeUInt32LE(parent, 16);
  content.writeUInt32LE(nowhere, 28);
  content.writeUInt32LE(nowhere, 32);
  content.writeUInt32LE(nowhere, 40);
  content.writeUInt32LE(security, 44);
  content.writeUInt32LE(nowhere, 48);
  content.writeUInt16LE(named.length, 72);
  named.copy(content, 76);
  const place = cells.add(content);
  // Sorted, as who looks for one expects it.
  const below = Object.entries(keys)
    .toSorted(([a], [b]) => (a.toUpperCase() < b.toUpperCase() ? -1 : 1))
    .map(([child, of]) => ({
      child,
      at: addKey(cells, of, { name: child, parent: place, security }),
    }));
  if (below.length > 0) {
    const list = Buffer.alloc(4 + 8 * below.length);
    list.write('lf', 0, 'latin1');
    list.writeUInt16LE(below.length, 2);
    for (const [nth, { child, at }] of below.entries()) {
      list.writeUInt32LE(at, 4 + 8 * nth);
      list.write(child.slice(0, 4), 8 + 8 * nth, 'latin1');
    }
    cells.setU32(place + 20, below.length);
    cells.setU32(place + 28, cells.add(list));
  }
  const kept = Object.entries(values).map(([of, value]) => addValue(cells, of, value));
  if (kept.length > 0) {
    const list = Buffer.alloc(4 * kept.length);
    for (const [nth, at] of kept.entries()) list.writeUInt32LE(at, 4 * nth);
    cells.setU32(place + 36, kept.length);
    cells.setU32(place + 40, cells.add(list));
  }
  return place;
}

function addValue(cells: Cells, name: string, value: string | number): number {
  const named = Buffer.from(name, 'latin1');
  const content = Buffer.alloc(20 + named.length);
  content.write('vk', 0, 'latin1');
  content.writeUInt16LE(named.length, 2);
  if (typeof value === 'number') {
    // Four bytes lie in the place of their address.
    content.writeUInt32LE(0x80_00_00_04, 4);
    content.writeUInt32LE(value, 8);
    content.writeUInt32LE(numberType, 12);
  } else {
    const text = Buffer.from(`${value}\0`, 'utf16le');
    content.writeUInt32LE(text.length, 4);
    content.writeUInt32LE(cells.add(text), 8);
    content.writeUInt32LE(textType, 12);
  }
  content.writeUInt16LE(1, 16);
  named.copy(content, 20);
  return cells.add(content);
}

/** One for all keys: an empty descriptor, which is linked with itself. */
function securityCell(): Buffer {
  const descriptor = Buffer.alloc(20);
  descriptor.writeUInt8(1, 0);
  descriptor.writeUInt16LE(0x80_00, 2);
  const content = Buffer.alloc(20 + descriptor.length);
  content.write('sk', 0, 'latin1');
  content.writeUInt32LE(1, 12);
  content.writeUInt32LE(descriptor.length, 16);
  descriptor.copy(content, 20);
  return content;
}

function header(root: number, length: number): Buffer {
  const page = Buffer.alloc(pageBytes);
  page.write('regf', 0, 'latin1');
  page.writeUInt32LE(1, 4);
  page.writeUInt32LE(1, 8);
  page.writeUInt32LE(1, 20);
  page.writeUInt32LE(3, 24);
  page.writeUInt32LE(1, 32);
  page.writeUInt32LE(root, 36);
  page.writeUInt32LE(length, 40);
  page.writeUInt32LE(1, 44);
  let sum = 0;
  for (let at = 0; at < 508; at += 4) sum ^= page.readUInt32LE(at);
  page.writeUInt32LE(sum >>> 0, 508);
  return page;
}
