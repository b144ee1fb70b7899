import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { newestKernel, probeAcceleration } from '../convert/acceleration.ts';
import { isImportEnd } from '../domain/import.ts';
import type { ImportReport, ImportRequest } from '../domain/import.ts';
import { ensureDebianGuest } from '../lab/guests/debian.ts';
import { labRequest, openImportStage, untilImport } from '../test/lab/import/import-stage.ts';
import type { ImportStage } from '../test/lab/import/import-stage.ts';
import { putImageOnShelf, putOnShelf, randomDisk } from '../test/lab/import/shelf.ts';
import type { BenchContext, BenchGroup, Measured } from './benchmark.ts';
import { mebibyte } from './copy-stage.ts';
import { moves } from './moves.ts';
import { findPrograms } from './programs.ts';
import type { Sample } from './result.ts';

const convertName = 'ova/virt-v2v';
const retryName = 'retry-copied-bytes';
const units: Readonly<Record<string, string>> = { [convertName]: 's', [retryName]: 'MiB' };
const converters = ['virt-v2v', 'virt-v2v-in-place', 'guestfish', 'mmdebstrap', 'qemu-img'];
/** A conversion takes minutes where guests are emulated: two runs at most. */
const mostConversions = 2;
const limitMs = 3_600_000;

/** Seconds, and the report of an import that was committed; rejects with what it says otherwise. */
async function timed(
  { stage, signal }: { stage: ImportStage; signal: AbortSignal },
  request: ImportRequest,
  wanted: ImportReport['phase'],
): Promise<{ seconds: number; report: ImportReport }> {
  const start = performance.now();
  const isOver = ({ phase }: ImportReport): boolean => signal.aborted || isImportEnd(phase);
  const report = await untilImport(await stage.start(request), isOver, { limitMs });
  signal.throwIfAborted();
  const seconds = (performance.now() - start) / 1000;
  if (report.phase === wanted) return { seconds, report };
  throw new Error(`the import ended ${report.phase}: ${report.fault?.message ?? ''}`);
}

/** Where the conversion runs is where the VM comes to, as with virt-v2v. */
const here = (vm: string, name: string): ImportRequest =>
  labRequest({
    provider: 'shelf',
    vm: `${vm}.ova#${vm}`,
    to: 'alpha',
    convert: 'yes',
    shape: { name },
  });

/** An OVA of a Debian to a defined VM with a converted qcow2: all of an import, against what a person types. */
async function againstVirtV2v(
  context: BenchContext,
  shelf: string,
  stage: ImportStage,
): Promise<Measured> {
  const { dir, runs, signal, say, showCommand } = context;
  const { vmdk, sizeBytes } = await ensureDebianGuest({ onStep: say });
  await putImageOnShelf(shelf, { name: 'debian', sizeBytes }, await readFile(vmdk));
  await stage.configure({ conversion: { cacheDir: stage.cacheDir } });
  const out = join(dir, 'virt-v2v');
  const settings = (await probeAcceleration({ id: 'bench' })) === 'tcg' ? 'force_tcg' : '';
  const env = {
    ...{ LIBGUESTFS_BACKEND: 'direct', LIBGUESTFS_BACKEND_SETTINGS: settings },
    ...{ LIBGUESTFS_CACHEDIR: dir, TMPDIR: dir, VIRT_V2V_TMPDIR: dir },
  };
  const line = `mkdir ${out} && virt-v2v -i ova ${shelf}/debian.ova -o local -os ${out} -of qcow2`;
  const shown = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  showCommand(convertName, `env ${shown.join(' ')} sh -ec '${line}'`);
  const samples: Sample[] = [];
  for (let run = 1; run <= Math.min(runs, mostConversions); run++) {
    signal.throwIfAborted();
    const { seconds: ours, report } = await timed(
      { stage, signal },
      here('debian', `ours${run}`),
      'committed',
    );
    if (report.conversion?.virtio !== true) throw new Error('it was not converted');
    say(`${convertName}, run ${run}: ours ${ours.toFixed(0)} s; now the peer`);
    const start = performance.now();
    await execa('sh', ['-ec', line], { env, timeout: limitMs, cancelSignal: signal });
    const peer = (performance.now() - start) / 1000;
    await rm(out, { recursive: true });
    samples.push({ ours, peer });
    say(`${convertName}, run ${run}: peer ${peer.toFixed(0)} s`);
  }
  return { name: convertName, unit: 's', samples };
}

/** What `virt-v2v-in-place` says of itself, and one that ends so: with an error that nothing but a person mends. */
const standIn = (exitCode: number): string => `#!/bin/sh
case "$1" in
--version) echo 'virt-v2v-in-place 2.2.0'; exit 0;;
--help) echo ' -i <libvirtxml|disk>  Set the input mode'; exit 0;;
esac
[ ${exitCode} = 0 ] ||
  echo 'virt-v2v-in-place: error: inspection could not detect the source guest (or physical machine).' >&2
exit ${exitCode}
`;

/** What is copied again after a conversion failed. */
async function retryCopied(
  context: BenchContext,
  shelf: string,
  stage: ImportStage,
): Promise<Measured> {
  const { dir, runs, signal, say } = context;
  const [sizeBytes, dataBytes] = [128 * mebibyte, 64 * mebibyte];
  const raw = await randomDisk(join(dir, 'retry.raw'), { sizeBytes, dataBytes });
  const program = join(dir, 'stand-in');
  const { cacheDir } = stage;
  const samples: Sample[] = [];
  for (let run = 0; run < runs; run++) {
    signal.throwIfAborted();
    const name = `retry${run}`;
    await putOnShelf(shelf, { name, raw, sizeBytes, secondCard: true });
    await writeFile(program, standIn(1), { mode: 0o755 });
    await stage.configure({ conversion: { cacheDir, program } });
    const { report: failed } = await timed({ stage, signal }, here(name, name), 'failed');
    await writeFile(program, standIn(0), { mode: 0o755 });
    const { report } = await timed({ stage, signal }, here(name, name), 'committed');
    const [first, again] = [failed, report].map(copiedMiB);
    samples.push({ ours: again ?? Number.NaN });
    say(`${retryName}, run ${run + 1}: ${first} MiB at first, ${again} MiB by the retry`);
  }
  return { name: retryName, unit: 'MiB', samples };
}

const copiedMiB = ({ disks }: ImportReport): number =>
  disks.reduce((sum, { bytesCopied }) => sum + bytesCopied, 0) / mebibyte;

/** Whole imports of OVAs, through Temporal, in the lab. */
export const imports: BenchGroup = {
  names: units,
  missing: async () => {
    const lacks = (await moves.missing())['worker-rss-mib'];
    if (lacks !== undefined)
      return Object.fromEntries(Object.keys(units).map((name) => [name, lacks]));
    const absent = await findPrograms(converters);
    if ((await newestKernel()) === undefined) absent.push('a kernel in /boot');
    return absent.length === 0 ? {} : { [convertName]: `not found: ${absent.join(', ')}` };
  },
  run: async (context, names, done) => {
    const shelf = join(context.dir, 'ova');
    context.say('two hosts with their workers, and Temporal');
    const stage = await openImportStage({
      name: `bench-imports-${process.pid % 10_000}`,
      providers: { shelf: { kind: 'ova', folder: shelf } },
    });
    context.defer(() => stage.close());
    if (names.has(retryName)) done(await retryCopied(context, shelf, stage));
    if (names.has(convertName)) done(await againstVirtV2v(context, shelf, stage));
  },
};
