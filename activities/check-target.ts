import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { movedDisks } from '../domain/checks/source.ts';
import { neededFiles, poolFor, targetConcerns, volumeNameFor } from '../domain/checks/target.ts';
import { blocks } from '../domain/concerns.ts';
import { unsafe } from '../domain/errors.ts';
import type { DiskFormat } from '../domain/vm.ts';
import type { HostFacts } from '../domain/host.ts';
import type { CheckTargetInput, DiskPlan, TargetCheck } from './contract.ts';
import { folderOf } from './ours.ts';
import type { HostParts } from './parts.ts';
import { hostFacts } from './read.ts';

/** Largest definition that is taken over, bytes. */
const maxDefinitionBytes = 256 * 1024;
export const definitionFile = 'definition.xml';

/** Judges the target, plans where each disk goes, and takes the definition over the data plane. */
export async function checkTarget(
  parts: HostParts,
  input: CheckTargetInput,
  signal: AbortSignal,
): Promise<TargetCheck> {
  const { ledger } = parts;
  const { source, request, vm } = input;
  const [target, entry] = await Promise.all([hostFacts(parts), ledger.read(vm.uuid)]);
  const before = entry?.migrationId === input.migrationId ? undefined : entry;
  const concerns = targetConcerns({
    vm: source.vm,
    request,
    target,
    sourceHostUuid: source.hostUuid,
    missingFiles: await missingOf(neededFiles(source.vm).map(({ path }) => path)),
    existingVolumes: await existingVolumes(parts, input, target),
    ...(before === undefined ? {} : { ledger: before }),
  });
  // A refused move leaves nothing here, least of all a definition with its secrets.
  if (!blocks(concerns)) await takeDefinition(parts, input, signal);
  return {
    concerns,
    guardLive: target.guard.hookLive,
    disks: planDisks(input, target),
    ...(entry === undefined ? {} : { ledger: { state: entry.state, epoch: entry.epoch } }),
  };
}

async function missingOf(paths: string[]): Promise<string[]> {
  const present = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, index) => present[index] !== true);
}

async function existingVolumes(
  { hypervisor }: HostParts,
  { source, request }: CheckTargetInput,
  target: HostFacts,
): Promise<string[]> {
  const found: string[] = [];
  for (const disk of movedDisks(source.vm)) {
    const pool = poolFor(disk, { request, target });
    if (pool === undefined || !pool.active) continue;
    const volume = volumeNameFor(disk);
    if (await hypervisor.volumeExists(pool.name, volume)) found.push(`${pool.name}/${volume}`);
  }
  return found;
}

function planDisks({ source, request }: CheckTargetInput, target: HostFacts): DiskPlan[] {
  return movedDisks(source.vm).flatMap((disk): DiskPlan[] => {
    const pool = poolFor(disk, { request, target });
    // A disk without a pool or of another format is a critical concern already: the plan is not used then.
    if (pool === undefined) return [];
    const format: DiskFormat = disk.format === 'qcow2' ? 'qcow2' : 'raw';
    const volume = volumeNameFor(disk);
    return [
      {
        name: disk.name,
        sourcePath: disk.path,
        sourceFormat: format,
        capacityBytes: disk.capacityBytes,
        targetPool: pool.name,
        targetVolume: volume,
        targetPath: `${pool.path}/${volume}`,
        targetFormat: format,
        sourceKind: 'file',
        targetKind: 'file',
        how: 'copy',
        allocation: 'thin',
      },
    ];
  });
}

async function takeDefinition(
  parts: HostParts,
  input: CheckTargetInput,
  signal: AbortSignal,
): Promise<void> {
  const { definition, definitionHash } = input.source;
  const remote = await parts.dataPlane.openRemote(definition, { signal, host: parts.name });
  let xml: Buffer;
  try {
    if (remote.sizeBytes > 2 * maxDefinitionBytes)
      throw definitionDamaged(parts.name, 'it is too large');
    const padded = Buffer.alloc(remote.sizeBytes);
    await remote.read(0, padded, signal);
    const end = padded.indexOf(0);
    xml = end === -1 ? padded : padded.subarray(0, end);
  } finally {
    await remote.close();
  }
  if (createHash('sha256').update(xml).digest('hex') !== definitionHash) {
    throw definitionDamaged(parts.name, 'its hash differs');
  }
  await folderOf(parts, input).writeFile(definitionFile, xml);
}

const definitionDamaged = (host: string, why: string) =>
  unsafe({
    code: 'definition-damaged',
    message: `the definition that ${host} read from the source is not the one that was offered: ${why}`,
    remedy:
      'Something between the hosts answers in the place of the source. Check addresses and certificates.',
    host,
  });
