import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpioArchive, fileMode, folderMode, linkMode } from '../../../lab/guest/cpio.ts';

/** The set-up for the lab installs it; the quick lane also runs where nothing may be installed. */
const busyboxIsHere = existsSync('/usr/bin/busybox') || existsSync('/bin/busybox');

const text = (value: string): Uint8Array => Buffer.from(value);

describe('cpio archive', () => {
  const entries = [
    { path: 'bin', mode: folderMode },
    { path: 'bin/a', mode: fileMode, content: text('x') },
    { path: 'bin/odd-name', mode: fileMode, content: text('12345') },
    { path: 'bin/b', mode: linkMode, content: text('a') },
  ];

  it.skipIf(!busyboxIsHere)('is read by busybox as it was meant', () => {
    const listed = execFileSync('busybox', ['cpio', '-tv'], {
      input: cpioArchive(entries),
    }).toString();
    const lines = listed
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+/g, ' '));
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^drwxr-xr-x .* bin$/);
    expect(lines[1]).toMatch(/^-rw-r--r-- .* 1 .* bin\/a$/);
    expect(lines[2]).toMatch(/^-rw-r--r-- .* 5 .* bin\/odd-name$/);
    expect(lines[3]).toMatch(/^lrwxrwxrwx .* bin\/b -> a$/);
  });

  it('is the same for the same input, whenever it is made', () => {
    expect(cpioArchive(entries).equals(cpioArchive(entries))).toBe(true);
  });
});
