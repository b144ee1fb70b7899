import { randomUUID } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskIdentity } from '../../../guard/identity.ts';
import { formatLedgerFile } from '../../../guard/ledger-file.ts';
import { domainXml, runHook, writeHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const allowed = { status: 0, stderr: '', stdout: '' };
const released = to('released', { note: 'moved to beta' });

describe('the hook', () => {
  it.each([
    ['owner', true],
    ['migrating-out', false],
    ['released', false],
    ['incoming', false],
    ['quarantined', false],
  ] as const)('judges a VM in state %s: start allowed is %s', async (state, allows) => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to(state, { note: 'for a reason' }));
    const verdict = runHook(await writeHook(ledger.stateDir), domainXml(uuid));
    if (allows) {
      expect(verdict).toMatchObject(allowed);
    } else {
      expect(verdict.status).toBe(1);
      for (const word of ['guest', state, 'move-1', 'for a reason', `guard claim ${uuid}`]) {
        expect(verdict.stderr).toContain(word);
      }
      expect(verdict.stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(await ledger.runCount(uuid)).toBe(allows ? 1 : 0);
  });

  it('says and refuses nothing on any other operation, whatever the ledger holds', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, released);
    const hook = await writeHook(ledger.stateDir);
    const others = [
      'start',
      'started',
      'stopped',
      'release',
      'reconnect',
      'migrate',
      'restore',
      'attach',
      '',
    ];
    for (const operation of others) {
      expect(runHook(hook, domainXml(uuid), operation)).toMatchObject(allowed);
    }
    rmSync(ledger.folder, { recursive: true });
    expect(runHook(hook, domainXml(uuid), 'reconnect')).toMatchObject(allowed);
  });

  it('lets a VM start that vmferry never saw, also beside others and with disks of its own', async () => {
    const ledger = ledgerIn(stateFolder());
    const hook = await writeHook(ledger.stateDir);
    const path = join(ledger.stateDir, 'foreign.raw');
    writeFileSync(path, '');
    expect(runHook(hook, domainXml(randomUUID(), path))).toMatchObject(allowed);
    await ledger.transition(randomUUID(), released);
    expect(runHook(hook, domainXml(randomUUID(), path, '/not/there'))).toMatchObject(allowed);
  });

  it('knows a disk again under another UUID: by path, symbolic link, hard link, and after it was moved', async () => {
    const ledger = ledgerIn(stateFolder());
    const at = (name: string) => join(ledger.stateDir, name);
    const path = at(`web "disk"\n'50% ü'.raw`);
    writeFileSync(path, '');
    mkdirSync(at('folder'));
    symlinkSync(path, at('folder/soft'));
    symlinkSync('folder', at('alias'));
    linkSync(path, at('hard'));
    const uuid = randomUUID();
    const disks = [{ path, identity: await diskIdentity(path) }];
    await ledger.transition(uuid, { ...released, disks });
    const hook = await writeHook(ledger.stateDir);
    const ways = [path, at('folder/soft'), at('alias/soft'), at('hard'), at('folder/../hard')];
    for (const way of ways) {
      const verdict = runHook(hook, domainXml(randomUUID(), '/other.raw', way));
      expect(verdict, way).toMatchObject({ status: 1 });
      expect(verdict.stderr).toContain(`web (${uuid})`);
    }
    renameSync(path, at('elsewhere.raw'));
    expect(runHook(hook, domainXml(randomUUID(), at('elsewhere.raw'))).status).toBe(1);
  });

  it('knows a disk that is not there yet by its path, also through a linked folder', async () => {
    const ledger = ledgerIn(stateFolder());
    const at = (name: string) => join(ledger.stateDir, name);
    mkdirSync(at('pool'));
    symlinkSync('pool', at('alias'));
    const disks = [{ path: at('alias/web.raw'), identity: '' }];
    await ledger.transition(randomUUID(), to('incoming', { disks }));
    const hook = await writeHook(ledger.stateDir);
    for (const way of [at('alias/web.raw'), at('pool/web.raw')]) {
      expect(runHook(hook, domainXml(randomUUID(), way)).status, way).toBe(1);
    }
  });

  it('does not take a new file for a deleted disk whose inode number it got', async () => {
    const ledger = ledgerIn(stateFolder());
    const path = join(ledger.stateDir, 'new.raw');
    writeFileSync(path, '');
    const [device, inode, birth] = (await diskIdentity(path)).split(':');
    const old = { path: '/gone.raw', identity: `${device}:${inode}:${Number(birth) - 60}` };
    await ledger.transition(randomUUID(), { ...released, disks: [old] });
    expect(runHook(await writeHook(ledger.stateDir), domainXml(randomUUID(), path))).toMatchObject(
      allowed,
    );
  });

  it('counts a start for the VM whose disk is used too', async () => {
    const ledger = ledgerIn(stateFolder());
    const path = join(ledger.stateDir, 'web.raw');
    writeFileSync(path, '');
    const uuid = randomUUID();
    const disks = [{ path, identity: await diskIdentity(path) }];
    await ledger.transition(uuid, to('owner', { disks }));
    const hook = await writeHook(ledger.stateDir);
    expect(runHook(hook, domainXml(uuid, path))).toMatchObject(allowed);
    expect(runHook(hook, domainXml(randomUUID(), path))).toMatchObject(allowed);
    expect(await ledger.runCount(uuid)).toBe(2);
  });

  it('refuses a VM whose own file is damaged, and no other', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    const disks = [{ path: '/images/web.raw', identity: '' }];
    await ledger.transition(uuid, to('owner', { disks }));
    const file = join(ledger.folder, uuid);
    const whole = readFileSync(file);
    const hook = await writeHook(ledger.stateDir);
    const broken = [
      Buffer.alloc(0),
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, 60),
      Buffer.from(whole.toString().replace('owner', 'ownes')),
      Buffer.from(whole.toString().replace('epoch 1', 'epoch 2')),
      formatLedgerFile(
        {
          uuid: randomUUID(),
          name: '',
          epoch: 1,
          state: 'owner',
          migrationId: '',
          note: '',
          disks: [],
        },
        [],
      ),
      Buffer.from('\0\0\0\0'),
    ];
    for (const data of broken) {
      writeFileSync(file, data);
      const verdict = runHook(hook, domainXml(uuid));
      expect(verdict, data.toString()).toMatchObject({ status: 1 });
      expect(verdict.stderr).toContain(`${file} is damaged`);
      expect(runHook(hook, domainXml(randomUUID()))).toMatchObject(allowed);
    }
    // What can still be read of its disks counts.
    writeFileSync(file, whole.subarray(0, whole.length - 5));
    expect(runHook(hook, domainXml(randomUUID(), '/images/web.raw')).status).toBe(1);
  });

  it('refuses every start while the ledger folder is missing, for it cannot tell', async () => {
    const ledger = ledgerIn(stateFolder());
    const hook = await writeHook(ledger.stateDir);
    rmSync(ledger.folder, { recursive: true });
    const verdict = runHook(hook, domainXml(randomUUID()));
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain(`the ledger ${ledger.folder} is missing`);
  });

  it('refuses a start of a managed VM that it cannot count', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('owner'));
    rmSync(join(ledger.folder, `${uuid}.runs`));
    mkdirSync(join(ledger.folder, `${uuid}.runs`));
    const verdict = runHook(await writeHook(ledger.stateDir), domainXml(uuid));
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain('cannot be counted');
  });

  it('refuses an owner whose entry changes while the hook looks at it', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('migrating-out'));
    const away = join(ledger.stateDir, 'away');
    writeFileSync(away, readFileSync(join(ledger.folder, uuid)));
    await ledger.transition(uuid, to('owner'));
    const standIns = { sync: `cp '${away}' '${join(ledger.folder, uuid)}'` };
    const verdict = runHook(await writeHook(ledger.stateDir, { standIns }), domainXml(uuid));
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain('took it over just now');
  });

  it('shows no control characters of a hostile name', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(
      uuid,
      to('released', { name: 'a\x1b[31m\nb', note: '$(reboot) `x` \\n "' }),
    );
    const verdict = runHook(await writeHook(ledger.stateDir), domainXml(uuid));
    expect(verdict.stderr).toMatch(/^[^\p{Cc}]+\n$/u);
    expect(verdict.stderr).toContain('$(reboot) `x` \\n "');
  });

  it('keeps to its time limit when storage hangs, and a child that outlives it holds nothing of libvirt', async () => {
    const ledger = ledgerIn(stateFolder());
    await ledger.transition(randomUUID(), released);
    const pids = join(ledger.stateDir, 'pids');
    // setsid escapes the kill of the group, as a process in uninterruptible sleep does.
    const standIns = { stat: `trap '' TERM\nsetsid sleep 20 &\necho $! >'${pids}'\nsleep 21` };
    const hook = await writeHook(ledger.stateDir, { standIns, limitS: 1 });
    try {
      const verdict = runHook(hook, domainXml(randomUUID(), '/disk.raw'));
      expect(verdict.status).toBe(1);
      expect(verdict.stderr).toContain('did not answer in 1 s');
      expect(verdict.ms).toBeLessThan(5000);
    } finally {
      process.kill(Number(readFileSync(pids, 'utf8')), 'SIGKILL');
    }
  });
});
