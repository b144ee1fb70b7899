import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stableUuid } from '../../../lab/host-files.ts';
import { Lab } from '../../../lab/lab.ts';
import { identify } from '../../../lab/processes.ts';
import { readState, removeState, writeState } from '../../../lab/state.ts';
import type { LabState } from '../../../lab/state.ts';

const stateOf = (bootId: string): LabState => ({
  version: 1,
  name: 'trial',
  bootId,
  guestDir: '/nowhere',
  poolBytes: 1,
  stateBytes: 0,
  shared: false,
  switchNetns: 'trial-switch',
  switchInode: 4_026_531_840,
  hosts: [],
  forwards: [{ key: 'forward-1', processes: [identify(process.pid)!] }],
});

describe('state of a lab', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vmferry-lab-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('comes back as it was written, and is gone once removed', async () => {
    expect(await readState(dir)).toBeUndefined();
    await writeState(dir, stateOf('boot'));
    expect(await readState(dir)).toEqual(stateOf('boot'));
    await removeState(dir);
    expect(await readState(dir)).toBeUndefined();
  });

  it('is refused when it cannot be understood, with a way out', async () => {
    await writeFile(join(dir, 'lab.json'), '{"version": 2}');
    await expect(readState(dir)).rejects.toMatchObject({ code: 'lab-state-unreadable' });
  });

  it('of another boot of the machine ends no process on the way down', async () => {
    // The one recorded process is this test itself.
    await writeState(dir, stateOf('another boot'));
    await Lab.down({ dir });
    expect(await readState(dir)).toBeUndefined();
  });

  it('of another boot is no lab to attach to', async () => {
    await writeState(dir, stateOf('another boot'));
    await expect(Lab.attach({ dir })).rejects.toMatchObject({ code: 'lab-not-up' });
  });
});

describe('names of a lab', () => {
  const nameless = { dir: '/tmp/never-made', guestDir: '/nowhere' };
  it.each([
    [{ ...nameless, name: '../x' }],
    [{ ...nameless, name: 'much-too-long-for-a-name-of-it' }],
    [{ ...nameless, hosts: ['alpha', 'alpha'] }],
    [{ ...nameless, hosts: ['switch'] }],
    [{ ...nameless, hosts: [] }],
    [{ ...nameless, dir: 'relative' }],
  ])('%j is refused before anything is made', async (options) => {
    await expect(Lab.up(options)).rejects.toMatchObject({ code: 'lab-invalid-options' });
  });

  it('give a host the same UUID in every lab, and no two the same', () => {
    expect(stableUuid('host alpha')).toBe(stableUuid('host alpha'));
    expect(stableUuid('host alpha')).not.toBe(stableUuid('host beta'));
    expect(stableUuid('host alpha')).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });
});
