import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { neededFiles, targetConcerns } from '../domain/checks/target.ts';
import { layersOf, movedDisks, planDisks, wantedPool } from '../domain/disk-plan.ts';
import type { DiskPlan, SeenDisk } from '../domain/disk-plan.ts';
import { blocks } from '../domain/concerns.ts';
import { unsafe } from '../domain/errors.ts';
import { mayGoCold } from '../domain/live.ts';
import type { CpuComparison, PoolFacts } from '../domain/host.ts';
import type { VmFacts } from '../domain/vm.ts';
import { clockAhead } from './clock-ahead.ts';
import type { CheckTargetInput, TargetCheck } from './contract.ts';
import { folderOf, whileOpen } from './ours.ts';
import type { HostParts } from './parts.ts';
import { recentHostFacts } from './read.ts';

/** Largest definition that is taken over, bytes. */
const maxDefinitionBytes = 256 * 1024;
export const definitionFile = 'definition.xml';

/** Judges the target, plans where each disk goes, and takes the definition over the data plane if the VM may be defined here. */
export async function checkTarget(
  parts: HostParts,
  input: CheckTargetInput,
  signal: AbortSignal,
): Promise<TargetCheck> {
  const { ledger, hypervisor } = parts;
  const { source, request, vm } = input;
  const clock = clockAhead();
  const [target, entry, machine] = await Promise.all([
    recentHostFacts(parts),
    ledger.read(vm.uuid),
    hypervisor.machine(),
  ]);
  const before = entry?.migrationId === input.migrationId ? undefined : entry;
  const seen = await seenDisks(parts, input);
  const question = { vm: source.vm, request, target, seen };
  const disks = planDisks(question);
  const needed = neededFiles(source.vm, request).map(({ path }) => path);
  const concerns = targetConcerns({
    ...question,
    sourceHostUuid: source.hostUuid,
    machine: { ...machine, ...clock },
    ...(source.machine === undefined ? {} : { sourceMachine: source.machine }),
    ...(await cpuComparison(parts, input)),
    presentState: await presentOf((source.vm.keptState ?? []).map(({ path }) => path)),
    missingFiles: await missingOf(needed),
    missingSecrets: await hypervisor.missingSecrets(source.vm.secrets ?? []),
    ...(await efiLoaders(parts, source.vm)),
    existingVolumes: await existingVolumes(parts, disks, target.pools),
    ...(before === undefined ? {} : { ledger: before }),
  });
  // A refused move leaves nothing here, least of all a definition with its secrets.
  if (mayGoCold(request) && !blocks(concerns) && !blocks(source.concerns))
    await takeDefinition(parts, input, signal);
  return {
    concerns,
    guardLive: target.guard.hookLive,
    disks,
    migrationAddress: parts.migrationAddress,
    ...(entry === undefined ? {} : { ledger: { state: entry.state, epoch: entry.epoch } }),
  };
}

/** Whether libvirt here could go on with the guest's CPU; or start it with that of its definition, where it asks for one. */
async function cpuComparison(
  { hypervisor }: HostParts,
  { source: { vm }, request }: CheckTargetInput,
): Promise<{ cpu?: CpuComparison }> {
  const wanted = request.live === undefined ? vm.checkedCpu : vm.running?.cpu;
  if (wanted === undefined || wanted === '') return {};
  return { cpu: await hypervisor.compareCpu(wanted, vm) };
}

/** What this host would start the VM with, where that is left to libvirt. */
async function efiLoaders(
  { hypervisor }: HostParts,
  vm: VmFacts,
): Promise<{ efiLoaders?: readonly string[] }> {
  const offer = vm.firmware && (await hypervisor.machineOffer(vm));
  return offer === undefined ? {} : { efiLoaders: offer.efiLoaders };
}

async function presentOf(paths: string[]): Promise<string[]> {
  const present = await Promise.all(
    paths.map((path) =>
      // Not access(2), which goes by the real user's rights and knows of no capabilities.
      stat(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, index) => present[index] === true);
}

async function missingOf(paths: string[]): Promise<string[]> {
  const present = await presentOf(paths);
  return paths.filter((path) => !present.includes(path));
}

/** A disk is seen here if every image of its chain is, and those below the top under the names that the images hold. */
async function seenDisks(
  { hypervisor }: HostParts,
  { source, request }: CheckTargetInput,
): Promise<Record<string, SeenDisk>> {
  const seen: Record<string, SeenDisk> = {};
  for (const disk of movedDisks(source.vm)) {
    const places = await Promise.all(
      layersOf([disk]).map(async (layer) => {
        const nonce = source.nonces.find((one) => one.disk === layer.name);
        if (nonce === undefined) return undefined;
        const pool = layer.name === disk.name ? wantedPool(disk, request) : '';
        const place = await hypervisor.findNonce(nonce, layer, pool);
        return layer.name === disk.name || place?.path === layer.path ? place : undefined;
      }),
    );
    const [top] = places;
    if (top !== undefined && !places.includes(undefined)) seen[disk.name] = top;
  }
  return seen;
}

async function existingVolumes(
  { hypervisor }: HostParts,
  disks: readonly DiskPlan[],
  pools: readonly PoolFacts[],
): Promise<string[]> {
  const active = new Set(pools.filter((pool) => pool.active).map(({ name }) => name));
  const found: string[] = [];
  for (const { how, targetPool, targetVolume } of disks) {
    if (how !== 'copy' || !active.has(targetPool)) continue;
    if (await hypervisor.volumeExists(targetPool, targetVolume))
      found.push(`${targetPool}/${targetVolume}`);
  }
  return found;
}

async function takeDefinition(
  parts: HostParts,
  input: CheckTargetInput,
  signal: AbortSignal,
): Promise<void> {
  const { definition, definitionHash } = input.source;
  const remote = await parts.dataPlane.openRemote(definition, {
    ...{ signal, host: parts.name },
    isSmall: true,
  });
  let xml: Buffer;
  try {
    if (remote.sizeBytes > 2 * maxDefinitionBytes)
      throw definitionDamaged(parts.name, 'it is too large');
    const padded = Buffer.alloc(remote.sizeBytes);
    await remote.read(0, padded, signal);
    // Filled up with NUL, which no XML holds.
    const end = padded.indexOf(0);
    xml = end === -1 ? padded : padded.subarray(0, end);
  } finally {
    await remote.close();
  }
  if (createHash('sha256').update(xml).digest('hex') !== definitionHash) {
    throw definitionDamaged(parts.name, 'its hash differs');
  }
  await whileOpen(parts, { ref: input, operation: 'keep the definition', signal }, () =>
    folderOf(parts, input).writeFile(definitionFile, xml),
  );
}

const definitionDamaged = (host: string, why: string) =>
  unsafe({
    code: 'definition-damaged',
    message: `the definition that ${host} read from the source is not the one that was offered: ${why}`,
    remedy:
      'Something between the hosts answers in the place of the source. Check addresses and certificates.',
    host,
  });
