/** The VMs of a vCenter, a page at a time, and one of them by what a person calls it. */
import type { ForeignVmSummary } from '../../domain/foreign.ts';
import { permanent } from '../../domain/errors.ts';
import { childrenOf } from '../../protocols/soap/index.ts';
import { diskBytesIn } from './disks.ts';
import { countOf, nameOf } from './numbers.ts';
import { InventoryPaths } from './paths.ts';
import { everyOf, propertiesOf } from './properties.ts';
import type { PropertySet } from './properties.ts';
import { referenceIn, value } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';
import { stateOf } from './vm-state.ts';

const summaryProperties = [
  'name',
  'parent',
  'runtime.powerState',
  'summary.config.memorySizeMB',
  'summary.config.numCpu',
  'config.hardware.device',
];

/** As they come, templates too; at most a page of them held. */
export async function* listVms(
  session: VsphereSession,
  signal?: AbortSignal,
): AsyncGenerator<ForeignVmSummary> {
  const paths = new InventoryPaths(session);
  await paths.preload(signal);
  const kind = { type: 'VirtualMachine', properties: summaryProperties };
  for await (const found of everyOf(session, kind, signal)) {
    const name = nameOf(found.text('name'));
    const { path } = await paths.of(name, referenceIn(found.get('parent')), signal);
    yield { ...summaryOf(found, name), path };
  }
}

const summaryOf = (found: PropertySet, name: string): Omit<ForeignVmSummary, 'path'> => ({
  id: found.ref.id,
  name,
  state: stateOf(found.text('runtime.powerState')),
  memoryBytes: countOf(found.text('summary.config.memorySizeMB')) * 2 ** 20,
  cpus: countOf(found.text('summary.config.numCpu')),
  diskBytes: diskBytesIn(childrenOf(found.get('config.hardware.device'))),
});

export const vmRef = (id: string): ManagedRef => ({ type: 'VirtualMachine', id });

/** How many are named when a name is not enough. */
const mostNamed = 5;

/**
 * By ID (`vm-42`), UUID (SMBIOS or instance), inventory path (`DC0/vm/web`) or name. Rejects with VmFerryError:
 * `vm-not-found`, `vm-ambiguous`.
 */
export async function findVm(
  session: VsphereSession,
  wanted: string,
  signal?: AbortSignal,
): Promise<ManagedRef> {
  const found =
    (await byId(session, wanted, signal)) ??
    (await byUuid(session, wanted, signal)) ??
    (await byPath(session, wanted, signal)) ??
    (await byName(session, wanted, signal));
  if (found !== undefined) return found;
  throw permanent({
    code: 'vm-not-found',
    message: `${session.host} has no VM that is called ${wanted}`,
    remedy:
      'List the VMs of the provider: they go by name, by ID (vm-42), by UUID or by path (DC0/vm/web).',
    host: session.host,
  });
}

async function byId(
  session: VsphereSession,
  wanted: string,
  signal?: AbortSignal,
): Promise<ManagedRef | undefined> {
  // `vm-42` of a vCenter, `42` of an ESXi.
  if (!/^(?:vm-)?\d{1,12}$/.test(wanted)) return undefined;
  try {
    const ref = vmRef(wanted);
    await propertiesOf(session, ref, ['name'], { what: `look for ${wanted}`, signal });
    return ref;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'vm-not-found')
      return undefined;
    throw error;
  }
}

async function byUuid(
  session: VsphereSession,
  wanted: string,
  signal?: AbortSignal,
): Promise<ManagedRef | undefined> {
  if (!/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(wanted)) return undefined;
  for (const isInstance of [false, true]) {
    const response = await session.call(
      'FindAllByUuid',
      session.content.searchIndex,
      [
        value('uuid', wanted.toLowerCase()),
        value('vmSearch', true),
        value('instanceUuid', isInstance),
      ],
      { what: `look for the VM ${wanted}`, signal },
    );
    const refs = childrenOf(response, 'returnval').flatMap((element) => referenceIn(element) ?? []);
    if (refs.length > 0) return onlyOne(session, wanted, refs);
  }
  return undefined;
}

async function byPath(
  session: VsphereSession,
  wanted: string,
  signal?: AbortSignal,
): Promise<ManagedRef | undefined> {
  if (!wanted.includes('/')) return undefined;
  const [found] = childrenOf(
    await session.call(
      'FindByInventoryPath',
      session.content.searchIndex,
      [value('inventoryPath', wanted)],
      { what: `look for the VM ${wanted}`, signal },
    ),
    'returnval',
  );
  const ref = referenceIn(found);
  return ref?.type === 'VirtualMachine' ? ref : undefined;
}

async function byName(
  session: VsphereSession,
  wanted: string,
  signal?: AbortSignal,
): Promise<ManagedRef | undefined> {
  const refs: ManagedRef[] = [];
  const kind = { type: 'VirtualMachine', properties: ['name'] };
  for await (const found of everyOf(session, kind, signal)) {
    if (nameOf(found.text('name')) === wanted) refs.push(found.ref);
  }
  return refs.length === 0 ? undefined : onlyOne(session, wanted, refs);
}

function onlyOne(session: VsphereSession, wanted: string, refs: readonly ManagedRef[]): ManagedRef {
  const [only, ...others] = refs;
  if (only !== undefined && others.length === 0) return only;
  const named = refs.slice(0, mostNamed).map(({ id }) => id);
  throw permanent({
    code: 'vm-ambiguous',
    message: `${session.host} has ${refs.length} VMs that are called ${wanted}: ${named.join(', ')}${refs.length > mostNamed ? ', ...' : ''}`,
    remedy: 'Name the one that you mean by its ID.',
    host: session.host,
  });
}
