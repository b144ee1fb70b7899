/** Reads the first disk of a VM, says `read`, and waits to be killed. Options come on standard input. */
import { text } from 'node:stream/consumers';
import { VsphereSource } from '../../../platforms/vsphere/source.ts';
import type { VsphereOptions } from '../../../platforms/vsphere/source.ts';

const source = await VsphereSource.open(JSON.parse(await text(process.stdin)) as VsphereOptions);
const vm = await source.inspect(process.argv[2] ?? '');
const disk = await source.openDisk(vm, vm.disks[0]?.key ?? '');
await disk.source.read(0, new Uint8Array(512));
process.stdout.write('read\n');
setInterval(() => undefined, 60_000);
