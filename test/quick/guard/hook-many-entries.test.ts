import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskIdentity } from '../../../guard/identity.ts';
import { formatLedgerFile } from '../../../guard/ledger-file.ts';
import { domainXml, runHook, writeHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

describe('2,000 entries', () => {
  it('are searched for a fraction of what a process for each would cost', async () => {
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
    // A fault of design is a process for each entry: 2,000 of them. Measured here and now, since
    // what a process costs differs threefold between machines and with what else they do.
    const limitMs = (2000 * cpuMsOfAProcess()) / 5;
    const before = cpuMsOfChildren();
    for (let run = 0; run < 8; run++) {
      expect(runHook(hook, domainXml(mine, path)).status).toBe(0);
    }
    // Time of the processor, not of the clock: the machine may be busy with other things meanwhile.
    expect((cpuMsOfChildren() - before) / 8).toBeLessThan(limitMs);

    // An incoming migration asks twice, and the second time as much as a start does.
    const coming = randomUUID();
    const move = { migrationId: 'move-1', epoch: 1 };
    await ledger.transition(coming, to('incoming'));
    let spent = 0;
    for (let run = 0; run < 4; run++) {
      const token = await ledger.admit(coming, { ...move, again: true });
      const xml = domainXml(coming, path).replace(
        '</uuid>',
        `</uuid><metadata><v:vm xmlns:v='urn:vmferry:domain:1'><v:admit>${token}</v:admit></v:vm></metadata>`,
      );
      expect(runHook(hook, xml, 'migrate').status).toBe(0);
      const from = cpuMsOfChildren();
      expect(runHook(hook, xml)).toMatchObject({ status: 0, stderr: '' });
      spent += cpuMsOfChildren() - from;
    }
    expect(spent / 4).toBeLessThan(limitMs);
    const other = '/var/lib/libvirt/images/vm-1999-b.qcow2';
    expect(runHook(hook, domainXml(randomUUID(), other)).status).toBe(1);
  });
});

/** What starting a small program from a shell costs, as a hook would. */
function cpuMsOfAProcess(): number {
  const before = cpuMsOfChildren();
  const loop = 'i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i + 1)); done';
  expect(spawnSync('/bin/sh', ['-c', loop]).status).toBe(0);
  return (cpuMsOfChildren() - before) / 500;
}

/** Processor time that ended children of this process have used, user and system, from proc(5) in ticks of 10 ms. */
function cpuMsOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'ascii').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10;
}
