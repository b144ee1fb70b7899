/** Where VMs stand in the inventory: `DC0/vm/web`, and in which datacenter. */
import { VmFerryError } from '../../domain/errors.ts';
import { textOf } from '../../protocols/soap/index.ts';
import { nameOf } from './numbers.ts';
import { everyOf, propertiesOf } from './properties.ts';
import { referenceIn } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';

interface Place {
  name: string;
  type: string;
  parent: ManagedRef | undefined;
}

/** vSphere's folders go some dozen deep; a server could tie them into a ring. */
const deepest = 64;

export class InventoryPaths {
  readonly #places = new Map<string, Place>();
  readonly #session: VsphereSession;

  constructor(session: VsphereSession) {
    this.#session = session;
  }

  /** Looks at all places at once, which is less work than one by one for a whole inventory. */
  async preload(signal?: AbortSignal): Promise<void> {
    for (const type of ['Folder', 'Datacenter', 'VirtualApp']) {
      const kind = { type, properties: ['name', 'parent'] };
      for await (const found of everyOf(this.#session, kind, signal)) {
        this.#places.set(found.ref.id, {
          name: nameOf(found.text('name')),
          type: found.ref.type,
          parent: referenceIn(found.get('parent')),
        });
      }
    }
  }

  /** `datacenter` is the path of the one that it is in, as /folder wants it: `DC0`; empty if it is in none. */
  async of(
    name: string,
    parent: ManagedRef | undefined,
    signal?: AbortSignal,
  ): Promise<{ path: string; datacenter: string }> {
    const names: string[] = [];
    let datacenterDepth = -1;
    let at = parent;
    for (let depth = 0; at !== undefined && depth < deepest; depth += 1) {
      const place = await this.#place(at, signal);
      // The root folder has a name that no path shows.
      if (place.parent === undefined && names.length > 0) break;
      names.unshift(place.name);
      if (place.type === 'Datacenter') datacenterDepth = names.length;
      at = place.parent;
    }
    const above = datacenterDepth === -1 ? [] : names.slice(0, names.length - datacenterDepth + 1);
    return { path: [...names, name].join('/'), datacenter: above.join('/') };
  }

  async #place(ref: ManagedRef, signal?: AbortSignal): Promise<Place> {
    const known = this.#places.get(ref.id);
    if (known !== undefined) return known;
    const what = `find where ${ref.id} stands`;
    const found = await propertiesOf(this.#session, ref, ['name', 'parent'], { what, signal });
    const place = {
      name: nameOf(found.text('name')),
      type: ref.type,
      parent: referenceIn(found.get('parent')),
    };
    this.#places.set(ref.id, place);
    return place;
  }
}

const unseen = ['vm-not-found', 'vsphere-no-permission'];

/** Names of networks by what cards name them by: the key of a distributed port group, the ID of an opaque network. */
export class NetworkNames {
  readonly #names = new Map<string, string>();
  readonly #session: VsphereSession;

  constructor(session: VsphereSession) {
    this.#session = session;
  }

  /** `keys` are those that cards name port groups by, `refs` the networks of the VM, for those that are opaque. */
  async learn(
    keys: readonly string[],
    refs: readonly ManagedRef[],
    signal?: AbortSignal,
  ): Promise<void> {
    for (const key of keys) {
      // A port group's key is its reference.
      const ref = { type: 'DistributedVirtualPortgroup', id: key };
      if (!this.#names.has(key)) await this.#ask(ref, signal);
    }
    for (const ref of refs) {
      if (ref.type === 'OpaqueNetwork' && !this.#names.has(ref.id)) await this.#ask(ref, signal);
    }
  }

  async #ask(ref: ManagedRef, signal?: AbortSignal): Promise<void> {
    const isOpaque = ref.type === 'OpaqueNetwork';
    const wanted = ['name', ...(isOpaque ? ['summary'] : [])];
    const what = `look at the network ${ref.id}`;
    try {
      const found = await propertiesOf(this.#session, ref, wanted, { what, signal });
      const name = nameOf(found.text('name'));
      this.#names.set(ref.id, name);
      if (isOpaque) this.#names.set(textOf(found.get('summary'), 'opaqueNetworkId'), name);
    } catch (error) {
      // One that is gone, or that the user may not see, is told by its key.
      if (!(error instanceof VmFerryError) || !unseen.includes(error.code)) throw error;
    }
  }

  /** The key itself where no such network is known: better told than left out. */
  of(key: string): string {
    return this.#names.get(key) ?? key;
  }
}
