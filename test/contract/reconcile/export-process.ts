/** A worker of which only its exports are played: opens them one after the other, again and again, until it is killed. */
import { Exports } from '../../../platforms/libvirt/export.ts';
import type { ExportsOptions } from '../../../platforms/libvirt/export.ts';

interface Order extends ExportsOptions {
  moveId: string;
  disks: string[];
  path: string;
  /** How often; without end if absent. */
  rounds?: number;
}

const {
  moveId,
  disks,
  path,
  rounds = Infinity,
  ...options
} = JSON.parse(process.argv[2] ?? '') as Order;
const exports = new Exports(options);
process.stdout.write('up\n');
for (let round = 0; round < rounds; round += 1) {
  for (const diskName of disks) {
    const request = { moveId, diskName, path, format: 'raw', allow: { host: 'beta' } } as const;
    const { pid } = await exports.ensure(request);
    process.stdout.write(`${diskName} ${pid}\n`);
  }
}
