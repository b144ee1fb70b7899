/** What a guest that runs has otherwise than its stored definition, and what ties it to its host. */
import type { Element } from '@xmldom/xmldom';
import { LiveJobKind } from '../../domain/live-outcome.ts';
import type { RunningFacts, VmHostFile } from '../../domain/vm.ts';
import { numberParam, JobParam, JobType } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { comparableCpu, cpuTiesOf } from './cpu.ts';
import { readDomainCapabilities } from './domain-capabilities.ts';
import { diskElements, readDomainFacts } from './domain-facts.ts';
import type { DefinedDisk, DefinedFacts } from './domain-facts.ts';
import { isRefusal } from './faults.ts';
import { jobKindOf } from './live/sample.ts';
import { XmlError, attribute, elementAt, parseXml } from './xml.ts';

/** `defined` is the stored definition. Undefined if the guest went down meanwhile. Throws `XmlError`. */
export async function readRunning(
  connection: Connection,
  dom: DomainRef,
  defined: DefinedFacts,
): Promise<RunningFacts | undefined> {
  const job = await readJobClause(connection, dom);
  if (job === undefined) return undefined;
  const { xml } = await connection.call('DomainGetXMLDesc', { dom });
  const root = parseXml(xml, { root: 'domain' }).documentElement;
  if (root === null) throw new XmlError('it is empty');
  const mode = attribute(elementAt(root, 'cpu'), 'mode');
  // The named models say all of themselves; the host's own has to be asked for.
  const capabilities =
    mode === '' || mode === 'custom' ? '' : await readDomainCapabilities(connection, defined);
  return runningFactsOf(root, { defined, capabilities, job });
}

interface Beside {
  defined: DefinedFacts;
  /** `<domainCapabilities>` of the host for this machine; empty if they do not matter. */
  capabilities: string;
  /** A clause; empty for none. */
  job: string;
}

/** `domain` is the definition of the running guest. */
export function runningFactsOf(
  domain: Element,
  { defined, capabilities, job }: Beside,
): RunningFacts {
  const live = readDomainFacts(domain);
  return {
    cpu: comparableCpu(domain, capabilities),
    cpuTies: cpuTiesOf(domain),
    drift: driftOf(defined, live),
    jobs: [...(job === '' ? [] : [job]), ...blockJobsOf(domain)],
    files: filesOf(live),
  };
}

/** Media come and go in the running guest alone, and are looked for by themselves. */
const isDisk = ({ device }: DefinedDisk): boolean => device !== 'cdrom' && device !== 'floppy';

/** A move knows a VM by its stored definition: what only the running guest has would be neither checked nor guarded. */
function driftOf(defined: DefinedFacts, live: DefinedFacts): string[] {
  const clauses: string[] = [];
  const diskOf = (facts: DefinedFacts) =>
    new Map(facts.disks.filter(isDisk).map((disk) => [disk.name, placeText(disk)]));
  const nicOf = (facts: DefinedFacts) =>
    new Map(facts.nics.map(({ mac, kind, sourceName }) => [mac, `${kind} ${sourceName}`.trim()]));
  const compare = (what: string, stored: Map<string, string>, running: Map<string, string>) => {
    for (const [name, place] of running) {
      const other = stored.get(name);
      if (other === undefined) clauses.push(`${what} ${name} (${place}) is not in the definition`);
      else if (other !== place)
        clauses.push(`${what} ${name} is ${place}, in the definition ${other}`);
    }
    for (const [name, place] of stored) {
      if (!running.has(name)) clauses.push(`${what} ${name} (${place}) is in the definition only`);
    }
  };
  compare('disk', diskOf(defined), diskOf(live));
  compare('interface', nicOf(defined), nicOf(live));
  for (const device of live.fixedDevices) {
    if (!defined.fixedDevices.includes(device)) clauses.push(`${device} is not in the definition`);
  }
  return clauses;
}

function placeText({ path, pool, volume, format }: DefinedDisk): string {
  const place = pool === undefined || volume === undefined ? path : `${pool}/${volume}`;
  return `${place === '' ? 'empty' : place}, ${format}`;
}

const blockJobsOf = (domain: Element): string[] =>
  [...diskElements(elementAt(domain, 'devices'))].flatMap(([name, element]) => {
    const mirror = elementAt(element, 'mirror');
    return mirror === undefined
      ? []
      : [`disk ${name} has a block job (${attribute(mirror, 'job') || 'copy'})`];
  });

const filesOf = ({ hostFiles, disks }: DefinedFacts): VmHostFile[] => [
  ...hostFiles.filter(({ role }) => role !== 'nvram'),
  ...disks
    .filter((disk) => !isDisk(disk) && disk.kind === 'file' && disk.path !== '')
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
];

/** The job on a guest as a clause, empty for none; undefined if it is off. */
async function readJobClause(connection: Connection, dom: DomainRef): Promise<string | undefined> {
  try {
    const { type, params } = await connection.call('DomainGetJobStats', { dom });
    if (type === JobType.none) return '';
    if (jobKindOf(params) === LiveJobKind.outgoing) return 'libvirt is migrating it';
    return `libvirt runs a job on it (operation ${numberParam(params, JobParam.operation) ?? 0})`;
  } catch (error) {
    if (isRefusal(error, 'OPERATION_INVALID')) return undefined;
    // The target of a migration has no figures.
    if (isRefusal(error, 'OPERATION_UNSUPPORTED')) return 'libvirt is migrating it';
    throw error;
  }
}
