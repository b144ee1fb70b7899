import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkTarget } from '../../../activities/check-target.ts';
import type { CheckTargetInput } from '../../../activities/contract.ts';
import type { Hypervisor } from '../../../activities/parts.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { VmFacts } from '../../../domain/vm.ts';
import { beta, disk, machine, vm } from '../domain/facts.ts';
import { runningVm } from '../domain/rule-fixtures.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-check-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** Checks a VM whose source already speaks against the move: so the target only judges, and takes nothing over. */
async function check(
  facts: VmFacts,
  more: Partial<Hypervisor> = {},
  request: Partial<CheckTargetInput['request']> = {},
) {
  const asked: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    facts: () => Promise.resolve(beta()),
    machine: () => Promise.resolve(machine()),
    probeGuard: () => Promise.resolve({ live: true, detail: '' }),
    missingSecrets: () => Promise.resolve([]),
    compareCpu: () => Promise.resolve({ verdict: 'fits', detail: '' }),
    findNonce: (_nonce, { kind, path }) =>
      Promise.resolve(kind === 'none' ? undefined : { kind, path }),
    volumeExists(pool, volume) {
      asked.push(`${pool}/${volume}`);
      return Promise.resolve(true);
    },
    ...more,
  };
  const parts = hostParts({ name: 'beta', stateDir, hypervisor });
  const input = {
    moveId: 'migrate/default/web',
    migrationId: randomUUID(),
    vm: { name: facts.name, uuid: facts.uuid },
    request: { targetPool: '', ...request } as CheckTargetInput['request'],
    source: {
      vm: facts,
      concerns: [{ code: 'any', level: 'critical', message: '', remedy: '' }],
      guardLive: true,
      hostUuid: 'uuid-of-alpha',
      definitionHash: '',
      definition: { address: '', port: 0, exportName: '', serverName: '' },
      nonces: [{ disk: 'vda', path: '/images/.nonce', value: 'x' }],
      migrationAddress: '198.51.100.11',
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
  const machineOffer = ({ machine }: { machine: string }) =>
    Promise.resolve({ efiLoaders: machine === 'q35' ? [] : ['/fw/4m.fd'] });
  expect((await check(facts, { machineOffer })).found).toEqual(['firmware-missing']);
});

it('asks libvirt for the CPU of a guest that goes on, or for the one to start with where that is held to', async () => {
  const cpus: string[] = [];
  const compareCpu: Hypervisor['compareCpu'] = (cpu) => {
    cpus.push(cpu);
    return Promise.resolve({ verdict: 'incompatible', detail: 'missing features: avx2' });
  };
  const facts = runningVm({ disks: [] });
  expect((await check(facts, { compareCpu })).found).toEqual([]);
  const { found } = await check(facts, { compareCpu }, { live: defaultLiveWishes });
  expect(found).toEqual(['cpu-incompatible']);
  const anew = await check({ ...facts, checkedCpu: '<cpu check="partial"/>' }, { compareCpu });
  expect(anew.found).toEqual(['cpu-not-startable']);
  expect(cpus).toEqual(['<cpu/>', '<cpu check="partial"/>']);
});

it('names state of the VM that lies here already, before a live move writes over it', async () => {
  const kept = join(stateDir, 'web_VARS.fd');
  await writeFile(kept, '');
  const keptState = [kept, join(stateDir, 'tpm2')].map((path) => ({
    role: 'nvram' as const,
    path,
  }));
  const facts = runningVm({ disks: [], keptState });
  const { found } = await check(facts, {}, { live: defaultLiveWishes });
  expect(found).toEqual(['live-state-overwritten']);
});
