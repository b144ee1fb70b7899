import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkTarget } from '../../../activities/check-target.ts';
import type { CheckTargetInput } from '../../../activities/contract.ts';
import { Operations } from '../../../activities/operations.ts';
import type { DataPlane, HostParts, Hypervisor } from '../../../activities/parts.ts';
import type { VmFacts } from '../../../domain/vm.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { beta, disk, machine, vm } from '../domain/facts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-check-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** Checks a VM whose source already speaks against the move: so the target only judges, and takes nothing over. */
async function check(facts: VmFacts, more: Partial<Hypervisor> = {}) {
  const asked: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    facts: () => Promise.resolve(beta()),
    machine: () => Promise.resolve(machine()),
    probeGuard: () => Promise.resolve({ live: true, detail: '' }),
    missingSecrets: () => Promise.resolve([]),
    findNonce: (_nonce, { kind, path }) =>
      Promise.resolve(kind === 'none' ? undefined : { kind, path }),
    volumeExists(pool, volume) {
      asked.push(`${pool}/${volume}`);
      return Promise.resolve(true);
    },
    ...more,
  };
  const parts: HostParts = {
    name: 'beta',
    version: '0',
    migrationAddress: '127.0.0.1',
    stateDir,
    bandwidthBytesPerSecond: 0,
    hypervisor: hypervisor as Hypervisor,
    dataPlane: {} as DataPlane,
    ledger: new Ledger({ stateDir, host: 'beta' }),
    operations: new Operations(),
  };
  const input = {
    moveId: 'migrate/default/web',
    migrationId: randomUUID(),
    vm: { name: facts.name, uuid: facts.uuid },
    request: { targetPool: '' } as CheckTargetInput['request'],
    source: {
      vm: facts,
      concerns: [{ code: 'any', level: 'critical', message: '', remedy: '' }],
      guardLive: true,
      hostUuid: 'uuid-of-alpha',
      definitionHash: '',
      definition: { address: '', port: 0, exportName: '', serverName: '' },
      nonces: [{ disk: 'vda', path: '/images/.nonce', value: 'x' }],
    },
  } satisfies CheckTargetInput;
  const { concerns, disks } = await checkTarget(parts, input, new AbortController().signal);
  const found = concerns.map(({ code }) => code);
  return { asked, found, ways: disks.map(({ name, how }) => [name, how]) };
}

it('looks for a volume only where a disk would be copied to', async () => {
  const disks = [disk(), disk({ name: 'vdb', path: '/images/web-data.raw' })];
  const { asked, found, ways } = await check(vm({ disks }));
  expect(ways).toEqual([
    ['vda', 'shared'],
    ['vdb', 'copy'],
  ]);
  expect(asked).toEqual(['default/web-data.raw']);
  expect(found).toEqual(['volume-exists']);
});

it('asks for the firmware of a VM that leaves it to libvirt', async () => {
  const facts = vm({ firmware: { loader: '', loaders: ['/fw/4m.fd'] } });
  const efiLoaders = ({ machine }: { machine: string }) =>
    Promise.resolve(machine === 'q35' ? [] : ['/fw/4m.fd']);
  expect((await check(facts, { efiLoaders })).found).toEqual(['firmware-missing']);
});
