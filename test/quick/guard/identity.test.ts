import { execFileSync } from 'node:child_process';
import { linkSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskIdentity, fingerprint } from '../../../guard/identity.ts';
import { stateFolder } from './state-folder.ts';

describe('diskIdentity', () => {
  it('is what stat tells, the same through links, and another for a new file', async () => {
    const path = join(stateFolder(), 'disk.raw');
    writeFileSync(path, '');
    symlinkSync(path, `${path}.soft`);
    linkSync(path, `${path}.hard`);
    const told = execFileSync('stat', ['-c', '%d:%i:%W', path], { encoding: 'utf8' }).trim();
    for (const way of [path, `${path}.soft`, `${path}.hard`]) {
      expect(await diskIdentity(way)).toBe(told);
    }
    writeFileSync(`${path}.new`, '');
    expect(await diskIdentity(`${path}.new`)).not.toBe(told);
  });

  it('is empty where nothing is', async () => {
    expect(await diskIdentity(join(stateFolder(), 'none', 'disk.raw'))).toBe('');
    const file = join(stateFolder(), 'file');
    writeFileSync(file, '');
    expect(await diskIdentity(join(file, 'below'))).toBe('');
  });
});

describe('fingerprint', () => {
  it('stays while nothing happens, and changes with content, times, file and runs', async () => {
    const path = join(stateFolder(), 'disk.raw');
    writeFileSync(path, 'one');
    const first = await fingerprint(path, 3);
    expect(first).toMatch(/^file:\d+:\d+:3:\d{19}:\d{19}:run3$/);
    expect(await fingerprint(path, 3)).toBe(first);
    const seen = new Set([first, await fingerprint(path, 4)]);
    writeFileSync(path, 'one!');
    seen.add(await fingerprint(path, 3));
    const { atime, mtime } = statSync(path);
    writeFileSync(path, 'two!');
    utimesSync(path, atime, mtime);
    seen.add(await fingerprint(path, 3));
    rmSync(path);
    writeFileSync(path, 'two!');
    seen.add(await fingerprint(path, 3));
    expect(seen.size).toBe(5);
  });

  it('throws where nothing is: an absent disk has no state', async () => {
    await expect(fingerprint(join(stateFolder(), 'none'), 0)).rejects.toThrow('ENOENT');
  });
});
