/**
 * What a VM's definition says of its placement, in a metadata element of its own namespace that people write with
 * `virsh metadata` and that goes with the VM:
 *
 *   <placement>
 *     <with group="db"/>                      on a host with other VMs of the group
 *     <apart group="web" strength="soft"/>    rather not on one
 *     <requires label="disk" value="nvme"/>   on hosts with this label only
 *   </placement>
 */
import type { Element } from '@xmldom/xmldom';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import type { GroupRule } from '../domain/placement/vm.ts';
import {
  attribute,
  childElements,
  elementAt,
  parseXml,
  XmlError,
} from '../platforms/libvirt/xml.ts';
import type { HostParts } from './parts.ts';
import type { VmPlacementWishes, VmToPlace } from './upkeep.ts';

/** Namespace of that element; vmferry never writes it. */
export const placementNamespace = 'urn:vmferry:placement:1';

/** More say that something else went wrong. */
const mostWishes = 64;
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
const kinds: Readonly<Record<string, GroupRule['kind']>> = {
  with: 'affinity',
  apart: 'anti-affinity',
};

/** The VM's facts, and what its metadata says; no wishes, if there is none. Throws `vm-not-found`. */
export async function lookToPlace(
  { hypervisor, name }: Pick<HostParts, 'hypervisor' | 'name'>,
  { vm }: { vm: string },
): Promise<VmToPlace> {
  const facts = await hypervisor.inspect(vm);
  if (!facts.persistent) return { facts, wishes: { rules: [], requiredLabels: {} } };
  const { wishes, problems } = readWishes(await hypervisor.definition(facts.uuid));
  if (problems.length === 0) return { facts, wishes };
  const fault: Fault = {
    code: 'placement-metadata-invalid',
    handling: Handling.permanent,
    message: `the metadata of ${vm} on ${name} says of its placement what nobody understands: ${problems.join('; ')}`,
    remedy: `Correct it with \`virsh metadata ${vm} ${placementNamespace} --config --edit\`; docs/placement.md shows the form.`,
    host: name,
  };
  return { facts, wishes: { fault } };
}

/** What a definition says, and what of it makes no sense; a rule that is not understood must not count as kept. */
export function readWishes(xml: string): { wishes: VmPlacementWishes; problems: string[] } {
  const rules: GroupRule[] = [];
  const requiredLabels: Record<string, string> = {};
  const problems: string[] = [];
  for (const element of wishElements(xml)) {
    const what = element.localName ?? '';
    const kind = kinds[what];
    const group = attribute(element, 'group');
    const strength = attribute(element, 'strength') || 'hard';
    const label = attribute(element, 'label');
    if (kind !== undefined && nameForm.test(group) && (strength === 'hard' || strength === 'soft'))
      rules.push({ kind, group, strength });
    else if (what === 'requires' && nameForm.test(label))
      requiredLabels[label] = attribute(element, 'value');
    else problems.push(`<${what}>`.slice(0, 80));
  }
  return { wishes: { rules, requiredLabels }, problems };
}

function wishElements(xml: string): Element[] {
  const root = parseXml(xml, { root: 'domain' }).documentElement;
  const metadata = root === null ? undefined : elementAt(root, 'metadata');
  if (metadata === undefined) return [];
  const found = childElements(metadata)
    .filter((element) => element.namespaceURI === placementNamespace)
    .flatMap((element) => childElements(element));
  if (found.length <= mostWishes) return found;
  throw new XmlError(`it has more than ${mostWishes} wishes for its placement`);
}
