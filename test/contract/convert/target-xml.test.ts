import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversionInputXml } from '../../../convert/input-xml.ts';
import { targetShape } from '../../../convert/target-shape.ts';
import type { TargetPlan } from '../../../convert/target-shape.ts';
import { targetXml } from '../../../convert/target-xml.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import { foreignNic, foreignVm, targetPlan } from '../../quick/convert/foreign-vm.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';

let dir: string;
let host: PrivateLibvirtd;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'target-xml-'));
  host = await startPrivateLibvirtd({ dir });
});
afterAll(async () => {
  await host.stop();
  await rm(dir, { recursive: true });
});

const cases: [string, Partial<ForeignVm>, Partial<TargetPlan>][] = [
  ['a Linux on BIOS', { cdroms: ['', '', ''] }, {}],
  [
    'a Linux on virtio-blk',
    { nics: [foreignNic('1', { connected: false })] },
    { bus: 'virtio-blk' },
  ],
  ['a guest on UEFI', { firmware: 'uefi' }, {}],
  // This machine's firmware has keys enrolled or not; a TPM needs swtpm, which is only looked for at the start.
  ['a guest with Secure Boot', { firmware: 'uefi', secureBoot: true }, {}],
  ['an emulated guest', { guestFamily: 'other' }, { converted: false }],
  ['an emulated guest on an old machine', {}, { converted: false, machine: 'pc' }],
  ['a name in other letters', {}, { name: `größe & <"höhe">'` }],
];

describe("the target's definition", () => {
  it.each(cases)('is taken by libvirt and by its schema: %s', async (_what, vm, plan) => {
    const path = join(dir, 'domain.xml');
    await writeFile(path, targetXml(targetShape(foreignVm(vm), targetPlan(plan))));
    await host.exec('virsh', 'define', '--validate', path);
    const shown = await host.exec('virsh', 'dumpxml', foreignVm().uuid);
    expect(shown.stdout).toContain(foreignVm().uuid);
    await host.exec('virsh', 'undefine', '--nvram', foreignVm().uuid);
  });

  it('with KVM, Windows and a TPM keeps to the schema', async () => {
    const path = join(dir, 'windows.xml');
    const vm = { guestFamily: 'windows', firmware: 'uefi', secureBoot: true, tpm: true } as const;
    await writeFile(path, targetXml(targetShape(foreignVm(vm), targetPlan({ domainType: 'kvm' }))));
    const said = await execa('virt-xml-validate', [path, 'domain'], { timeout: 30_000 });
    expect(said.stderr).toContain('validates');
  });

  it('that the tool reads keeps to the schema', async () => {
    const path = join(dir, 'input.xml');
    const overlays = ['/w/disk-0.qcow2', '/w/disk-1.qcow2'];
    await writeFile(path, conversionInputXml({ vm: 'web', overlays, firmware: 'uefi' }));
    const said = await execa('virt-xml-validate', [path, 'domain'], { timeout: 30_000 });
    expect(said.stderr).toContain('validates');
  });
});
