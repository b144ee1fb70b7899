/** Properties of managed objects: of one, or of all of a kind, page by page. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { childOf, childrenOf, isFault, textOf } from '../../protocols/soap/index.ts';
import type { XmlNode } from '../../protocols/soap/index.ts';
import { permanent } from '../../domain/errors.ts';
import { object, reference, referenceAt, referenceIn, value } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';

/** One object with those of the properties that it has. */
export interface PropertySet {
  ref: ManagedRef;
  /** The element `val` of a property by its path; its `xsi:type` says what it is. */
  get(path: string): XmlElement | undefined;
  text(path: string): string;
}

export interface WatchedKind {
  /** `VirtualMachine`. */
  type: string;
  properties: readonly string[];
}

/** Objects of one page: some 20 KiB each, so that neither side holds much. */
const pageObjects = 100;
/** vSphere's own limits end at 45,000 VMs a vCenter; folders and the rest are fewer. */
const mostObjects = 200_000;

/** Of one object; `what` names it in errors. Rejects with VmFerryError: `vm-not-found` if it is gone. */
export async function propertiesOf(
  session: VsphereSession,
  ref: ManagedRef,
  properties: readonly string[],
  options: { what: string; signal?: AbortSignal | undefined },
): Promise<PropertySet> {
  const filter = object('specSet', [
    propertySpec({ type: ref.type, properties }),
    object('objectSet', [reference('obj', ref)]),
  ]);
  const response = await session.call(
    'RetrievePropertiesEx',
    session.content.propertyCollector,
    [filter, object('options', [])],
    options,
  );
  const [found] = childrenOf(childOf(response, 'returnval'), 'objects');
  if (found !== undefined) return propertySet(found);
  throw permanent({
    code: 'vm-not-found',
    message: `could not ${options.what}: ${ref.id} is not there`,
    remedy:
      'It was deleted or unregistered meanwhile, or the user may not see it: list the VMs again.',
    host: session.host,
  });
}

/**
 * All objects of a kind, as they come, at most a page of them held. A login that runs out in the middle takes the view
 * with it: it is begun again, once for each new login, and those that were told are left out.
 */
export async function* everyOf(
  session: VsphereSession,
  kind: WatchedKind,
  signal?: AbortSignal,
): AsyncGenerator<PropertySet> {
  const told = new Set<string>();
  for (let attempts = 0; ; attempts += 1) {
    const generation = session.generation;
    try {
      for await (const found of viewed(session, kind, signal)) {
        if (told.has(found.ref.id)) continue;
        if (told.size >= mostObjects) throw tooMany(session, kind);
        told.add(found.ref.id);
        yield found;
      }
      return;
    } catch (error) {
      const isLost = session.generation !== generation && isFault(error, ...lostViewFaults);
      if (!isLost || attempts >= mostRestarts) {
        throw session.fault(error, 'RetrievePropertiesEx', { what: `list every ${kind.type}` });
      }
    }
  }
}

/** What servers say of a view or a token that another session had. */
const lostViewFaults = ['ManagedObjectNotFound', 'InvalidArgument', 'InvalidCollectorVersion'];
const mostRestarts = 3;

const tooMany = (session: VsphereSession, { type }: WatchedKind): Error =>
  permanent({
    code: 'vsphere-too-many',
    message: `${session.host} tells of more than ${mostObjects} objects of the kind ${type}`,
    remedy: 'Find out what answers there: no vSphere has that many.',
    host: session.host,
  });

async function* viewed(
  session: VsphereSession,
  kind: WatchedKind,
  signal?: AbortSignal,
): AsyncGenerator<PropertySet> {
  const { content } = session;
  const response = await session.callPlainly(
    'CreateContainerView',
    content.viewManager,
    [
      reference('container', content.rootFolder),
      value('type', kind.type),
      value('recursive', true),
    ],
    { signal },
  );
  const view = referenceAt(response, 'returnval');
  if (view === undefined) return;
  let ended = false;
  try {
    yield* pages(session, view, kind, signal);
    ended = true;
  } finally {
    // A caller who stops in the middle leaves the view to us; one that failed may be gone, and ends with the session.
    const destroying = session.callPlainly('DestroyView', view);
    if (ended) await destroying;
    else await destroying.catch(() => undefined);
  }
}

async function* pages(
  session: VsphereSession,
  view: ManagedRef,
  kind: WatchedKind,
  signal?: AbortSignal,
): AsyncGenerator<PropertySet> {
  const collector = session.content.propertyCollector;
  const filter = object('specSet', [
    propertySpec(kind),
    object('objectSet', [
      reference('obj', view),
      value('skip', true),
      object(
        'selectSet',
        [
          value('name', 'view'),
          value('type', view.type),
          value('path', 'view'),
          value('skip', false),
        ],
        'TraversalSpec',
      ),
    ]),
  ]);
  const options = object('options', [value('maxObjects', pageObjects)]);
  let response = await session.callPlainly('RetrievePropertiesEx', collector, [filter, options], {
    signal,
  });
  for (;;) {
    const page = childOf(response, 'returnval');
    for (const found of childrenOf(page, 'objects')) yield propertySet(found);
    const token = textOf(page, 'token');
    if (token === '') return;
    response = await session.callPlainly(
      'ContinueRetrievePropertiesEx',
      collector,
      [value('token', token)],
      { signal },
    );
  }
}

const propertySpec = ({ type, properties }: WatchedKind): XmlNode =>
  object('propSet', [
    value('type', type),
    value('all', false),
    ...properties.map((path) => value('pathSet', path)),
  ]);

function propertySet(element: XmlElement): PropertySet {
  const values = new Map<string, XmlElement | undefined>();
  for (const property of childrenOf(element, 'propSet')) {
    values.set(textOf(property, 'name'), childOf(property, 'val'));
  }
  return {
    ref: referenceIn(childOf(element, 'obj')) ?? { type: '', id: '' },
    get: (path) => values.get(path),
    text: (path) => (values.get(path)?.text ?? '').trim(),
  };
}
