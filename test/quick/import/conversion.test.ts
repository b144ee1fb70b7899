import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { ensureConverted, networkOfTarget } from '../../../activities/import/ensure-converted.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { planFor } from './fake-import.ts';
import { conversionHost, MiB, PlayedSource, refOf } from './played-source.ts';

/**
 * In the place of virt-v2v-in-place: answers what it is asked for itself, tells a stage, notes that it ran, writes to
 * the overlay, and fails while a file `broken` lies beside it.
 */
const standIn = (dir: string): string => `#!/bin/sh
case "$1" in
--version) echo 'virt-v2v-in-place 2.2.0'; exit 0;;
--help) echo ' -i <libvirtxml|disk>  Set the input mode'; exit 0;;
esac
echo '[   1.5] Converting Debian GNU/Linux 12 (bookworm) to run on KVM'
echo ran >>${dir}/runs
for last; do :; done
overlay=$(sed -n 's/.*<source file="\\(.*\\)"\\/>/\\1/p' "$last" | head -n 1)
qemu-io -f qcow2 -c 'write -P 0x77 1M 64k' "$overlay" >/dev/null
if [ -e ${dir}/broken ]; then
  echo 'virt-v2v-in-place: error: inspection could not detect the source guest (or physical machine).' >&2
  exit 1
fi
`;

let dir: string;
let source: PlayedSource;
let parts: ImportParts;
const never = new AbortController().signal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-convert-'));
  const program = join(dir, 'virt-v2v-in-place');
  await writeFile(program, standIn(dir), { mode: 0o755 });
  source = new PlayedSource();
  source.disks.set('2000', { bytes: Buffer.alloc(4 * MiB, 'guest'), fingerprint: 'a' });
  parts = await conversionHost(dir, source, program);
  await copy('one');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const copy = (migrationId: string) =>
  ensureCached(
    parts,
    {
      ...refOf(migrationId),
      ...{ vm: source.vm, disks: ['2000'], bandwidthBytesPerSecond: 0, running: 'shutdown' },
    },
    { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
  );
const told: unknown[] = [];
const convert = (migrationId: string, root?: string) => {
  const plan = planFor('6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042', false);
  return ensureConverted(
    parts,
    {
      ...refOf(migrationId),
      // Without a card of its own there is no name to keep: nothing looks into the disk for one.
      vm: { ...source.vm, guestFamily: 'linux', nics: [] },
      plan: { ...plan, disks: plan.disks.slice(0, 1) },
      luksKeys: [],
      ...(root === undefined ? {} : { root }),
    },
    { signal: never, report: (details) => told.push(details) },
  );
};
const runs = async (): Promise<number> =>
  (await readFile(join(dir, 'runs'), 'utf8').catch(() => '')).split('\n').length - 1;
const copyOnDisk = () => readFile(join(cacheOf(parts, refOf('one')).folder, 'disk-0.raw'));

// The stand-in asks real qemu-img for overlays; each of its starts takes its time on a busy machine.
describe('the conversion of what was copied', { timeout: 60_000 }, () => {
  it('leaves the copy as it came, tells its stage, and is not run twice', async () => {
    expect(await convert('one')).toMatchObject({ already: false });
    expect(JSON.stringify(told)).toContain('Converting Debian GNU/Linux 12');
    expect(await convert('one')).toMatchObject({ already: true });
    expect(await runs()).toBe(1);
    expect((await copyOnDisk()).equals(Buffer.alloc(4 * MiB, 'guest'))).toBe(true);
  });

  it('that fails costs no second copy, and its result serves the next import', async () => {
    await writeFile(join(dir, 'broken'), '');
    await expect(convert('one')).rejects.toMatchObject({ handling: 'permanent' });
    await rm(join(dir, 'broken'));
    const read = source.readBytes;
    const { disks } = await copy('two');
    expect(disks).toMatchObject([{ bytesCopied: 0, bytesFromCache: 4 * MiB }]);
    expect(source.readBytes).toBe(read);
    expect(await convert('two')).toMatchObject({ already: false });
    await copy('three');
    expect(await convert('three')).toMatchObject({ already: true });
  });

  it('begins anew with other wishes, and when the source was in another state', async () => {
    await convert('one');
    expect(await convert('one', '/dev/sda1')).toMatchObject({ already: false });
    source.disks.set('2000', { bytes: Buffer.alloc(4 * MiB, 'other'), fingerprint: 'b' });
    await copy('two');
    expect(await readdir(cacheOf(parts, refOf('two')).folder)).not.toContain('conversion');
    expect(await convert('two', '/dev/sda1')).toMatchObject({ already: false });
    expect(await runs()).toBe(3);
  });
});

describe('what a conversion is told of the cards', () => {
  it('is one thing of each, also where its guest tells of the bridge above it, too', () => {
    const card = nic('4000', '01');
    const vm = {
      ...source.vm,
      nics: [card],
      guestNetwork: [
        { ...said, mac: card.mac, name: 'br0', addresses: [address] },
        { ...said, mac: card.mac, name: 'ens192', addresses: [] },
      ],
    };
    const plan = planFor('6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042', false);
    const nics = [{ key: '4000', mac: card.mac, network: 'bridge:br0' as const }];
    expect(networkOfTarget({ vm, plan: { ...plan, nics } })).toMatchObject([
      { mac: card.mac, name: 'ens192', addresses: [address] },
    ]);
  });

  const nic = (key: string, last: string) => ({
    ...{ key, mac: `00:50:56:00:00:${last}`, network: 'VM', model: 'vmxnet3', connected: true },
  });
  const said = { name: '', gateways: [], dns: [], searchDomains: [] };
  const address = { address: '198.51.100.20', prefix: 24, origin: 'static' } as const;

  it('is all of them, by the MACs that they will have, with what the guest said of each', () => {
    const vm = {
      ...source.vm,
      nics: [nic('4000', '01'), nic('4001', '02'), nic('4002', '03')],
      guestNetwork: [{ ...said, mac: '00:50:56:00:00:01', addresses: [address] }],
    };
    const plan = planFor('6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042', false);
    const nics = [
      { key: '4000', mac: '52:54:00:00:00:01', network: 'bridge:br0' as const },
      { key: '4001', mac: '00:50:56:00:00:02', network: 'bridge:br0' as const },
    ];
    expect(networkOfTarget({ vm, plan: { ...plan, nics } })).toEqual([
      { ...said, mac: '52:54:00:00:00:01', formerMac: '00:50:56:00:00:01', addresses: [address] },
      { ...said, mac: '00:50:56:00:00:02', formerMac: '00:50:56:00:00:02', addresses: [] },
      {
        ...{ ...said, mac: '00:50:56:00:00:03', formerMac: '00:50:56:00:00:03', addresses: [] },
        stays: true,
      },
    ]);
  });
});
