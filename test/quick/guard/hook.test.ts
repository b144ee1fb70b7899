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
import { domainXml, escapeXml, interpreters, isHere, runHook, writeHook } from './hook-run.ts';
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

describe.each(interpreters.filter(([, use]) => isHere(use)))(
  'hostile definitions, %s',
  (_, use) => {
    const mine = '0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11';
    const other = 'aaaaaaaa-5d5f-4a41-9a3b-6f3a2f6a9c22';
    const path = `/images/a & <b> 'c' "d" é😀 %41.raw`;
    const wrap = (inside: string, uuid = `<uuid>${other}</uuid>`) =>
      `<?xml version='1.0'?>\n<domain type='kvm'><name>x</name>${uuid}${inside}</domain>`;
    const disk = (source: string) => `<devices><disk type='file'>${source}</disk></devices>`;
    const quoted = path.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    const megabytes =
      `<m:note xmlns:m='u' text="${'more than enough '.repeat(6)}">it's text</m:note>`.repeat(
        38_000,
      );

    const refusing: [string, string][] = [
      ['its UUID', wrap('', `<uuid>${mine}</uuid>`)],
      ['its UUID in capitals and spaces', wrap('', `<uuid >\n ${mine.toUpperCase()}\t</uuid >`)],
      ['its UUID by character references', wrap('', `<uuid>&#48;&#x62;${mine.slice(2)}</uuid>`)],
      ['its UUID in CDATA', wrap('', `<uuid><![CDATA[${mine}]]></uuid>`)],
      [
        'its UUID around a comment',
        wrap('', `<uuid>${mine.slice(0, 9)}<!-- <uuid>x</uuid> -->${mine.slice(9)}</uuid>`),
      ],
      [
        'its disk in single quotes',
        wrap(disk(`<source index="1"\n file = '${quoted.replaceAll("'", '&apos;')}'/>`)),
      ],
      [
        'its disk in double quotes',
        wrap(disk(`<source file="${quoted.replaceAll('"', '&quot;')}"></source>`)),
      ],
      [
        'its disk by references',
        wrap(
          disk(
            `<source file='${escapeXml(path).replaceAll('é', '&#xE9;').replaceAll('😀', '&#128512;')}'/>`,
          ),
        ),
      ],
      ['its disk as a device', wrap(disk(`<source a='>' dev='${escapeXml(path)}'/>`))],
      [
        'its disk after 5 MiB of metadata',
        wrap(`<metadata>${megabytes}</metadata>${disk(`<source file='${escapeXml(path)}'/>`)}`),
      ],
      [
        'its disk after a comment with tags',
        wrap(`<!-- <devices> > --> ${disk(`<source file='${escapeXml(path)}'/>`)}`),
      ],
      ['two UUIDs', wrap(`<uuid>${other}</uuid>`)],
      ['no UUID', wrap('', '')],
      ['no end', wrap('').slice(0, -5)],
      ['an unknown entity', wrap(disk("<source file='&own;'/>"))],
      ['a document type', `<!DOCTYPE domain [<!ENTITY own "x">]>${wrap('')}`],
      ['nothing at all', ''],
      ['another root', `<x><domain><uuid>${other}</uuid></domain></x>`],
      ['a thousand levels', wrap(`<devices>${'<a>'.repeat(1000)}${'</a>'.repeat(1000)}</devices>`)],
    ];
    const allowing: [string, string][] = [
      ['the UUID in a comment', wrap(`<!--<uuid>${mine}</uuid>-->`)],
      [
        'the UUID in a CDATA section',
        wrap(`<title><![CDATA[</title><uuid>${mine}</uuid>]]></title>`),
      ],
      [
        'the UUID in an attribute',
        wrap(
          `<title a="<uuid>${mine}</uuid>".../>`
            .replaceAll('<uuid>', '&lt;uuid>')
            .replaceAll('</uuid>', '&lt;/uuid>')
            .replace('...', ''),
        ),
      ],
      [
        'a domain in metadata',
        wrap(
          `<metadata><m:x xmlns:m='u'><domain><uuid>${mine}</uuid>${disk(`<source file='${escapeXml(path)}'/>`)}</domain></m:x></metadata>`,
        ),
      ],
      ['a prefixed uuid', wrap(`<v:uuid>${mine}</v:uuid>`)],
      ['a uuid deeper down', wrap(`<sysinfo><uuid>${mine}</uuid></sysinfo>`)],
      [
        'the path at another device',
        wrap(`<devices><serial><source file='${escapeXml(path)}'/></serial></devices>`),
      ],
      [
        'the path of the backing file of another disk',
        wrap(
          disk(
            `<source file='/o'/><backingStore><source file='${escapeXml(path)}'/></backingStore>`,
          ),
        ),
      ],
      ['the path in another attribute', wrap(disk(`<source file='/o' x='${escapeXml(path)}'/>`))],
      ['a longer path', wrap(disk(`<source file='${escapeXml(path)}x'/>`))],
      [
        'a path that would be code',
        wrap(disk("<source file='/$(touch /tmp/vmferry-hook-pwned)`reboot`;&#39;&quot;*'/>")),
      ],
      ['options instead of paths', wrap(disk("<source file='--help'/>"))],
      ['5 MiB of metadata', wrap(`<metadata><![CDATA[${megabytes}]]></metadata>`)],
    ];

    const prepare = async () => {
      const ledger = ledgerIn(stateFolder());
      await ledger.transition(mine, { ...released, disks: [{ path, identity: '' }] });
      return writeHook(ledger.stateDir, { use });
    };

    it('are refused where they lead to a released VM or cannot be read', async () => {
      const hook = await prepare();
      for (const [what, xml] of refusing) {
        const verdict = runHook(hook, xml);
        expect(verdict.status, what).toBe(1);
        expect(verdict.stderr, what).toMatch(/^vmferry: VM guest may not start/);
      }
    });

    it('are let through where they only look like a released VM', async () => {
      const hook = await prepare();
      for (const [what, xml] of allowing) {
        const { ms: _, ...verdict } = runHook(hook, xml);
        expect(verdict, what).toEqual(allowed);
      }
    });
  },
);

describe('2,000 entries', () => {
  it('are searched well within the time that a start can spare', async () => {
    const ledger = ledgerIn(stateFolder());
    mkdirSync(ledger.folder, { recursive: true });
    const stateDir = ledger.stateDir;
    for (let index = 0; index < 2000; index++) {
      const uuid = randomUUID();
      const disks = ['a', 'b'].map((name, disk) => ({
        path: `/var/lib/libvirt/images/vm-${index}-${name}.qcow2`,
        identity: `64769:${1000 + index * 2 + disk}:1700000000`,
        resolvedPath: '',
      }));
      const entry = { uuid, name: `vm-${index}`, epoch: 4, state: 'released' as const };
      const rest = { migrationId: `move-${uuid}`, note: 'moved to beta', disks: [] };
      writeFileSync(join(ledger.folder, uuid), formatLedgerFile({ ...entry, ...rest }, disks));
    }
    const mine = randomUUID();
    const path = join(stateDir, 'web.raw');
    writeFileSync(path, '');
    await ledger.transition(
      mine,
      to('owner', { disks: [{ path, identity: await diskIdentity(path) }] }),
    );
    const hook = await writeHook(stateDir);
    const before = cpuMsOfChildren();
    for (let run = 0; run < 8; run++) {
      expect(runHook(hook, domainXml(mine, path)).status).toBe(0);
    }
    // Time of the processor, not of the clock: the machine may be busy with other things meanwhile.
    expect((cpuMsOfChildren() - before) / 8).toBeLessThan(100);
    const other = '/var/lib/libvirt/images/vm-1999-b.qcow2';
    expect(runHook(hook, domainXml(randomUUID(), other)).status).toBe(1);
  });
});

/** Processor time that ended children of this process have used, user and system, from proc(5) in ticks of 10 ms. */
function cpuMsOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'ascii').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10;
}
