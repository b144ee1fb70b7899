/** Opens the first disk of each VM named, says `open`, and waits to be killed. Options come on standard input. */
import { text } from 'node:stream/consumers';
import type { RemoteKvmOptions } from '../../../platforms/remote-kvm/options.ts';
import { RemoteKvmSource } from '../../../platforms/remote-kvm/source.ts';

const source = new RemoteKvmSource(JSON.parse(await text(process.stdin)) as RemoteKvmOptions);
for (const name of process.argv.slice(2)) {
  const vm = await source.inspect(name);
  await source.openDisk(vm, vm.disks[0]?.key ?? '');
}
process.stdout.write('open\n');
setInterval(() => undefined, 60_000);
