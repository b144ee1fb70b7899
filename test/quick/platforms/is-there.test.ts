import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isThere } from '../../../platforms/libvirt/is-there.ts';

test('only what is surely not there counts as gone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vmferry-there-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const at = (name: string) => isThere(join(folder, name));
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('nowhere', join(folder, 'dangling'));
  symlinkSync('itself', join(folder, 'itself'));
  expect(await at('file')).toBe(true);
  expect(await at('none')).toBe(false);
  expect(await at('file/below')).toBe(false);
  expect(await at('dangling')).toBe(false);
  // A link that leads to itself cannot be looked through.
  expect(await at('itself')).toBe(true);
});
