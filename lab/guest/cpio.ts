/** Enough of the cpio "newc" format to make an initrd; Linux, Documentation/driver-api/early-userspace/buffer-format. */
export interface CpioEntry {
  /** Relative path; a folder stands before what is in it. */
  path: string;
  /** File type and permission bits, as in `st_mode`. */
  mode: number;
  content?: Uint8Array;
}

const pad = (bytes: number): Buffer => Buffer.alloc((4 - (bytes % 4)) % 4);

function record(entry: CpioEntry, inode: number): Buffer {
  const content = entry.content ?? Buffer.alloc(0);
  const name = Buffer.from(`${entry.path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), device node (2), length of the name, checksum (unused)
  const fields = [inode, entry.mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(
    `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
  );
  return Buffer.concat([
    header,
    name,
    pad(header.length + name.length),
    content,
    pad(content.length),
  ]);
}

/** The archive: no clock and no owner in it, so equal input gives equal bytes. */
export const cpioArchive = (entries: readonly CpioEntry[]): Buffer =>
  Buffer.concat([...entries, { path: 'TRAILER!!!', mode: 0 }].map(record));

export const folderMode = 0o040755;
export const programMode = 0o100755;
export const fileMode = 0o100644;
export const linkMode = 0o120777;
