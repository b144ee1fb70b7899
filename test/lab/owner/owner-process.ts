/**
 * Owns a whole stage and does nothing but live: `owner-process.ts <lab's name>`. It tells what it has in a line of JSON,
 * and waits to be killed.
 */
import { findQemu } from '../../../lab/faults.ts';
import { openStage } from '../stage.ts';
import { namespacesOf } from '../traces.ts';

const mebibyte = 1024 * 1024;
const [name = ''] = process.argv.slice(2);

const stage = await openStage({ name, poolBytes: 128 * mebibyte, codec: true });
const { lab, fleet, dir } = stage;
const { path: blockPath } = await lab.addSharedBlock({ name: 'disk', sizeBytes: 32 * mebibyte });
await stage.vm('alpha', { name: 'guest', dataDisk: { sizeMiB: 32, fillMiB: 4, blockPath } });
await stage.virsh('alpha', 'start', 'guest');
const qemu = await findQemu(lab.host('alpha'), 'guest');
const workers = [fleet.temporal, fleet.control, fleet.codec, ...fleet.hosts.values()];
const daemons = lab.hosts.map((host) => host.libvirtd.pid);
const pids = [qemu?.pid, ...daemons, ...workers.map(({ pid }) => pid)];
console.log(JSON.stringify({ dir, labDir: lab.dir, namespaces: namespacesOf(lab), pids }));
setInterval(() => undefined, 60_000);
