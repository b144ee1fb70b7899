import { createHash } from 'node:crypto';
import { sourceConcerns } from '../domain/checks/source.ts';
import { blocks } from '../domain/concerns.ts';
import type { LiveProbe } from '../domain/host.ts';
import { mayGoCold } from '../domain/live.ts';
import { clockAhead } from './clock-ahead.ts';
import type { CheckSourceInput, ExportEndpoint, SourceCheck } from './contract.ts';
import { writeNonces } from './nonces.ts';
import { offerBytes } from './offer.ts';
import { whileOpen } from './ours.ts';
import type { HostParts } from './parts.ts';
import { hostFacts } from './read.ts';

/** The export of the definition, beside the disks' exports. */
const definitionExport = 'definition';
/** The definition in the move's folder, for as long as it is offered: it may hold secrets. */
export const offeredDefinition = 'definition.raw';

const nowhere: ExportEndpoint = { address: '', port: 0, exportName: '', serverName: '' };

/**
 * Judges the source and offers the definition to the target's certificate alone. The definition crosses like a disk:
 * it may hold secrets, which history must not, and reading it proves link, certificates and permission beforehand. Of a
 * move that can only go live nothing is offered: libvirt brings the definition itself.
 */
export async function checkSource(
  parts: HostParts,
  input: CheckSourceInput & { target: string },
  signal: AbortSignal,
): Promise<SourceCheck> {
  const { hypervisor, ledger } = parts;
  const clock = clockAhead();
  const [vm, facts, entry, machine, probe] = await Promise.all([
    hypervisor.inspect(input.vm.uuid),
    hostFacts(parts),
    ledger.read(input.vm.uuid),
    hypervisor.machine(),
    probeOf(parts, input),
  ]);
  // A first attempt of this move may have come so far already: then it is ours.
  const before = entry?.migrationId === input.migrationId ? undefined : entry;
  const concerns = sourceConcerns({
    vm,
    request: input.request,
    neighbours: facts.vms,
    guard: facts.guard,
    machine,
    ...(probe === undefined ? {} : { probe }),
    ...(before === undefined ? {} : { ledger: before }),
  });
  const check: SourceCheck = {
    vm,
    concerns,
    guardLive: facts.guard.hookLive,
    hostUuid: facts.hostUuid,
    machine: { ...machine, ...clock },
    definitionHash: '',
    definition: nowhere,
    nonces: [],
    migrationAddress: parts.migrationAddress,
    ...(entry === undefined ? {} : { ledger: { state: entry.state, epoch: entry.epoch } }),
  };
  if (blocks(concerns)) return check;
  // One after the other: what goes on beside a failure would go on past the lock.
  return whileOpen(parts, { ref: input, operation: 'offer the definition', signal }, async () => ({
    ...check,
    ...(mayGoCold(input.request) ? await offerDefinition(parts, input) : {}),
    nonces: await writeNonces(parts, input, vm),
  }));
}

async function offerDefinition(
  parts: HostParts,
  input: CheckSourceInput & { target: string },
): Promise<Pick<SourceCheck, 'definition' | 'definitionHash'>> {
  const xml = Buffer.from(await parts.hypervisor.definition(input.vm.uuid));
  const definition = await offerBytes(parts, input, {
    name: definitionExport,
    file: offeredDefinition,
    bytes: xml,
  });
  return { definition, definitionHash: createHash('sha256').update(xml).digest('hex') };
}

/** Only a live move goes from libvirtd to libvirtd. */
async function probeOf(
  { hypervisor }: HostParts,
  { request, targetAddress }: CheckSourceInput,
): Promise<LiveProbe | undefined> {
  if (request.live === undefined || targetAddress === undefined) return undefined;
  return hypervisor.probeTarget(targetAddress);
}
