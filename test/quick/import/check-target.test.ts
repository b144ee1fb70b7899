import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkImportTarget } from '../../../activities/import/check-import-target.ts';
import type { ImportTargetCheck } from '../../../activities/import/contract.ts';
import type { HostParts } from '../../../activities/parts.ts';
import type { HostFacts, MachineOffer } from '../../../domain/host.ts';
import type { OwnerState } from '../../../domain/ownership.ts';
import { beta } from '../domain/facts.ts';
import { importQuestion } from '../domain/foreign-facts.ts';
import { hostParts } from '../activities/host-parts.ts';

let dir: string;
let existing: string[];
let offer: MachineOffer | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'check-import-'));
  existing = [];
  offer = { efiLoaders: [] };
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const partsWith = (facts: Partial<HostFacts>): HostParts =>
  hostParts({
    ...{ name: 'beta', stateDir: dir },
    hypervisor: {
      facts: () => Promise.resolve(beta(facts)),
      probeGuard: () => Promise.resolve({ live: true, detail: '' }),
      volumeExists: (pool, volume) => Promise.resolve(existing.includes(`${pool}/${volume}`)),
      machineOffer: () => Promise.resolve(offer),
    },
  });
const migrationId = 'm1';
const check = (
  changes: Parameters<typeof importQuestion>[0] = {},
  facts: Partial<HostFacts> = {},
): Promise<ImportTargetCheck> => {
  const { vm, request, conversionHost } = importQuestion(changes);
  const uuid = vm.uuid === '' ? '6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e001' : vm.uuid;
  const foreign = { vm, concerns: [], host: conversionHost, cachedBytes: 0 };
  const ref = { moveId: 'import/x', migrationId, vm: { name: vm.name, uuid } };
  return checkImportTarget(partsWith(facts), { ...ref, request, foreign });
};
const noteInLedger = async (move: string, to: OwnerState): Promise<void> => {
  const { uuid, name } = importQuestion().vm;
  const entry = { to, epoch: 3, migrationId: move, name, note: 'set by a test' };
  await partsWith({}).ledger.transition(uuid, entry);
};
const criticals = ({ concerns }: ImportTargetCheck): string[] =>
  concerns.filter(({ level }) => level === 'critical').map(({ code }) => code);

describe('the check of the target of an import', () => {
  it('plans where nothing speaks against it', async () => {
    const found = await check();
    expect(criticals(found)).toEqual([]);
    expect(found).toMatchObject({ guardLive: true, plan: { clone: false, name: 'web' } });
  });

  it('tells by a rule what makes the plan impossible, and plans nothing', async () => {
    const found = await check({}, { pools: [] });
    expect(criticals(found)).toContain('pool-missing');
    // Once, by the rule: the plan's own complaint says no more.
    expect(new Set(criticals(found)).size).toBe(criticals(found).length);
    expect(found.plan).toBeUndefined();
  });

  it('sees a volume of the same name before anything is copied', async () => {
    const { plan } = await check();
    const [disk] = plan!.disks;
    existing = [`${disk!.targetPool}/${disk!.targetVolume}`];
    expect(criticals(await check())).toContain('volume-exists');
  });

  it('asks for UEFI firmware where the guest starts by it', async () => {
    const { vm } = importQuestion();
    expect(criticals(await check({ vm: { ...vm, firmware: 'uefi' } }))).toContain(
      'firmware-missing',
    );
    offer = { efiLoaders: ['/usr/share/OVMF/OVMF_CODE_4M.fd'] };
    expect(criticals(await check({ vm: { ...vm, firmware: 'uefi' } }))).toEqual([]);
  });

  it('asks for Secure Boot and a TPM where the guest would have them, and not of a host that does not say', async () => {
    const { vm } = importQuestion();
    const efiLoaders = ['/usr/share/OVMF/OVMF_CODE_4M.fd'];
    const guarded = { ...vm, firmware: 'uefi', secureBoot: true, tpm: true } as const;
    offer = { efiLoaders, secureBoot: false, tpm: false };
    expect(criticals(await check({ vm: guarded }))).toEqual(['secure-boot-missing', 'tpm-missing']);
    expect(criticals(await check({ vm: { ...vm, firmware: 'uefi' } }))).toEqual([]);
    offer = { efiLoaders };
    expect(criticals(await check({ vm: guarded }))).toEqual([]);
  });

  it.each([
    ['incoming', ['ownership-conflict']],
    ['quarantined', ['ownership-conflict']],
    ['released', []],
  ] as const)('reads a ledger that says %s of the VM', async (state, expected) => {
    await noteInLedger('another', state);
    const found = await check();
    expect(criticals(found)).toEqual(expected);
    const codes = found.concerns.map(({ code }) => code);
    expect(codes.includes('came-before')).toBe(state === 'released');
    expect(found.ledger).toEqual({ state, epoch: 3 });
  });

  it('does not take its own entry for that of another', async () => {
    await noteInLedger(migrationId, 'incoming');
    expect(criticals(await check())).toEqual([]);
  });
});
