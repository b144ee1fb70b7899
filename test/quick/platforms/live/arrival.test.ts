import { expect, it } from 'vitest';
import { DomainDocument } from '../../../../platforms/libvirt/domain-xml.ts';

const running = `<domain type='kvm' id='7'>
  <name>web</name>
  <uuid>6a1c0f8e-1111-4222-8333-944445555666</uuid>
  <metadata><vmferry:vm xmlns:vmferry="urn:vmferry:domain:1"><vmferry:owner>alpha</vmferry:owner></vmferry:vm></metadata>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/a/web.qcow2' index='2'/>
      <backingStore type='file' index='3'><format type='raw'/><source file='/a/base.raw'/></backingStore>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/shared/data.raw' index='1'/>
      <target dev='vdb' bus='virtio'/>
      <alias name='virtio-disk1'/>
    </disk>
  </devices>
</domain>`;

it('gives a running guest its new places and its token, and leaves all that it sees as it is', () => {
  const document = DomainDocument.parse(running);
  document.mendForArrival({
    disks: [{ name: 'vda', kind: 'file', path: '/b/web.raw', format: 'raw' }],
    note: { owner: 'beta', epoch: 3, move: 'm-1', admit: 'a'.repeat(32) },
  });
  const arriving = document.toString();
  // The guard's hook takes it from there, under that name and namespace.
  expect(arriving).toContain(`<vmferry:admit>${'a'.repeat(32)}</vmferry:admit>`);
  expect(document.note()).toEqual({ owner: 'beta', epoch: 3, move: 'm-1' });
  expect(arriving).toContain('/b/web.raw');
  expect(arriving).not.toContain('/a/base.raw');
  expect(arriving).toContain('/shared/data.raw');
  expect(arriving).toContain('virtio-disk0');
  expect(arriving).toContain('id="7"');
});

it('writes no token into a definition that is kept', () => {
  const document = DomainDocument.parse(running);
  document.mendForTarget({ disks: [], note: { owner: 'beta', epoch: 3, move: 'm-1' } });
  expect(document.toString()).not.toContain('admit');
});
