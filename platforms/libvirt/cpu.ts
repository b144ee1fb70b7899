/** The CPU of a guest: what it is while it runs, and whether another host's hypervisor could offer it. */
import type { Element } from '@xmldom/xmldom';
import type { CpuComparison } from '../../domain/host.ts';
import type { VmFacts } from '../../domain/vm.ts';
import { CompareCpuFlag, LibvirtError } from '../../protocols/libvirt/index.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { maxCapabilitiesBytes, readDomainCapabilities } from './domain-capabilities.ts';
import { isRefusal } from './faults.ts';
import { attribute, childElements, elementAt, parseXml, serializeElement, textOf } from './xml.ts';

type Machine = Pick<VmFacts, 'domainType' | 'arch' | 'machine'>;

/**
 * The `<cpu>` to ask another host for: a named model with the features that the guest got, as libvirt writes them into
 * the running definition. A guest that was given the host's own CPU has that of `capabilities` (the source's
 * `<domainCapabilities>`), as libvirt puts it into words. Empty where there is nothing to compare.
 */
export function comparableCpu(domain: Element, capabilities: string): string {
  const cpu = elementAt(domain, 'cpu');
  if (cpu === undefined) return '';
  const mode = attribute(cpu, 'mode');
  if (mode !== 'host-passthrough' && mode !== 'maximum' && mode !== 'host-model')
    return elementAt(cpu, 'model') === undefined ? '' : serializeElement(cpu);
  return hostModelOf(capabilities);
}

/**
 * The `<cpu>` of a definition, where libvirt would not start it on a host that cannot offer all of it. libvirt writes
 * `check` as it stores a definition: `partial` by itself for named models under KVM, `none` where QEMU emulates.
 */
export function checkedCpuOf(domain: Element): string | undefined {
  const cpu = elementAt(domain, 'cpu');
  if (cpu === undefined || elementAt(cpu, 'model') === undefined) return undefined;
  const isNamed = ['', 'custom'].includes(attribute(cpu, 'mode'));
  const isChecked = ['partial', 'full'].includes(attribute(cpu, 'check'));
  return isNamed && isChecked ? serializeElement(cpu) : undefined;
}

/** The host's own CPU as libvirt puts it into words; empty where it does not. */
function hostModelOf(capabilities: string): string {
  if (capabilities === '') return '';
  const root = parseXml(capabilities, {
    root: 'domainCapabilities',
    maxBytes: maxCapabilitiesBytes,
  }).documentElement;
  const cpu = root === null ? undefined : elementAt(root, 'cpu');
  const mode =
    cpu && childElements(cpu, 'mode').find((each) => attribute(each, 'name') === 'host-model');
  if (mode === undefined || attribute(mode, 'supported') !== 'yes') return '';
  const parts = childElements(mode).map((each) => serializeElement(each));
  return `<cpu mode='custom' match='exact'>${parts.join('')}</cpu>`;
}

/** Why no host could take the guest's CPU over, each a clause. */
export function cpuTiesOf(domain: Element): string[] {
  const cpu = elementAt(domain, 'cpu');
  if (cpu === undefined) return [];
  const ties: string[] = [];
  const mode = attribute(cpu, 'mode');
  if (attribute(cpu, 'migratable') === 'off') ties.push(`it is ${mode} with migratable='off'`);
  const hasInvtsc = childElements(cpu, 'feature').some(
    (each) =>
      attribute(each, 'name') === 'invtsc' &&
      ['require', 'force'].includes(attribute(each, 'policy')),
  );
  const clock = elementAt(domain, 'clock');
  const hasFrequency =
    clock !== undefined &&
    childElements(clock, 'timer').some((each) => attribute(each, 'frequency') !== '');
  // QEMU refuses to move it unless the frequency is pinned.
  if (hasInvtsc && !hasFrequency)
    ties.push('it has the feature invtsc, and no <timer> that pins its frequency');
  return ties;
}

/** What libvirt here says of a guest's CPU: by its hypervisor, else by the list of models that it can offer. */
export async function compareCpu(
  connection: Connection,
  cpu: string,
  machine: Machine,
): Promise<CpuComparison> {
  const { domainType, arch, machine: name } = machine;
  try {
    const { result } = await connection.call('ConnectCompareHypervisorCPU', {
      virtType: domainType,
      ...(arch === '' ? {} : { arch }),
      ...(name === '' ? {} : { machine: name }),
      xmlCpu: cpu,
      flags: CompareCpuFlag.failIncompatible,
    });
    return result > 0
      ? { verdict: 'fits', detail: '' }
      : { verdict: 'incompatible', detail: 'libvirt does not say why' };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    if (isRefusal(error, 'CPU_INCOMPATIBLE')) {
      const reason = error.message.slice(error.message.indexOf(': ') + 2);
      return { verdict: 'incompatible', detail: reason.slice(0, 1000) };
    }
    // Models and features come with versions of libvirt; 9.0 calls it an internal error.
    if (isRefusal(error, 'INTERNAL_ERROR') && error.message.includes('Unknown CPU '))
      return { verdict: 'incompatible', detail: error.message.slice(0, 1000) };
    const usable = isModelUsable(cpu, await readDomainCapabilities(connection, machine));
    if (usable === false)
      return { verdict: 'incompatible', detail: 'the hypervisor cannot offer that model' };
    return { verdict: 'unknown', detail: error.message };
  }
}

/** By the list of models in the domain capabilities; undefined where the list does not tell. */
export function isModelUsable(cpu: string, capabilities: string): boolean | undefined {
  const wanted = textOf(elementAt(rootOf(cpu, 'cpu'), 'model'));
  if (capabilities === '' || wanted === '') return undefined;
  const modes = elementAt(rootOf(capabilities, 'domainCapabilities'), 'cpu');
  const custom =
    modes && childElements(modes, 'mode').find((each) => attribute(each, 'name') === 'custom');
  const model = custom && childElements(custom, 'model').find((each) => textOf(each) === wanted);
  // The list has all models that the hypervisor knows.
  if (custom !== undefined && childElements(custom, 'model').length > 0 && model === undefined)
    return false;
  const usable = attribute(model, 'usable');
  return usable === 'yes' || usable === 'no' ? usable === 'yes' : undefined;
}

function rootOf(xml: string, root: string): Element {
  const element = parseXml(xml, { root, maxBytes: maxCapabilitiesBytes }).documentElement;
  if (element === null) throw new Error(`an XML document has no <${root}>`);
  return element;
}
