/** The hosts of the fleet, and what is on them. */
import type { HostFacts } from '../domain/host.ts';
import type { HostChange } from '../domain/hosts/settings.ts';
import type { HostState } from '../domain/hosts/state.ts';
import type { OrphanOrder, OrphanOutcome } from '../domain/orphans.ts';
import type { VmFacts, VmGlance } from '../domain/vm.ts';
import { workflowTypes } from '../workflows/contract.ts';
import type { HostLine, ListOrphansResult, ListVmsResult } from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { toVmFerryError } from './errors.ts';
import { HostDirectory } from './hosts.ts';

/** An order about one orphan. */
export interface OrphanAsk {
  host: string;
  id: string;
  order: OrphanOrder['order'];
  operator?: string;
}

export class Fleet {
  readonly directory: HostDirectory;
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
    this.directory = new HostDirectory(access.client, access.cluster);
  }

  async hosts({ facts = false }: { facts?: boolean }): Promise<HostLine[]> {
    return this.#access.attempt('list hosts', async () => {
      const lines = await this.directory.list();
      return facts ? Promise.all(lines.map((line) => this.#withFacts(line))) : lines;
    });
  }

  async host(name: string): Promise<HostLine> {
    return this.#access.attempt(`look up the host ${name}`, () => this.directory.host(name));
  }

  async setHost(name: string, change: HostChange): Promise<HostState> {
    const { operator } = this.#access;
    return this.#access.attempt(`change the host ${name}`, () =>
      this.directory.set(name, { ...change, operator }),
    );
  }

  async hostFacts(host: string): Promise<HostFacts> {
    const what = `read the facts of ${host}`;
    return this.#access.read<HostFacts>(workflowTypes.inspectHost, { host }, what);
  }

  vms(asked: { hosts?: string[] }): Promise<ListVmsResult> {
    return this.#readHosts<ListVmsResult>(workflowTypes.listVms, asked, 'list VMs');
  }

  orphans(asked: { hosts?: string[] }): Promise<ListOrphansResult> {
    return this.#readHosts<ListOrphansResult>(workflowTypes.listOrphans, asked, 'list orphans');
  }

  async settleOrphan(asked: OrphanAsk): Promise<OrphanOutcome> {
    const what = `${asked.order} the orphan ${asked.id} on ${asked.host}`;
    return this.#access.attempt(what, async () => {
      await this.directory.assertOnline(asked.host);
      const input = { ...asked, operator: asked.operator ?? this.#access.operator };
      return this.#access.read<OrphanOutcome>(workflowTypes.settleOrphan, input, what);
    });
  }

  vm(host: string, vm: string): Promise<VmFacts> {
    return this.#look<VmFacts>(workflowTypes.inspectVm, { host, vm });
  }

  /** Which VM that is, without a look at its disks. */
  findVm(host: string, vm: string): Promise<VmGlance> {
    return this.#look<VmGlance>(workflowTypes.findVm, { host, vm });
  }

  #look<T>(type: string, asked: { host: string; vm: string }): Promise<T> {
    const what = `look up ${asked.vm} on ${asked.host}`;
    return this.#access.attempt(what, async () => {
      // That no worker would take the question up is known sooner than that none does.
      const [found] = await Promise.all([
        this.#access.read<T>(type, asked, what),
        this.directory.assertOnline(asked.host),
      ]);
      return found;
    });
  }

  /** Asks the hosts that are named, all of which have to be online, or else all that are. */
  async #readHosts<T>(type: string, asked: { hosts?: string[] }, what: string): Promise<T> {
    return this.#access.attempt(what, async () => {
      for (const host of asked.hosts ?? []) await this.directory.assertOnline(host);
      const hosts = asked.hosts ?? (await this.#online());
      return this.#access.read<T>(type, { hosts }, what);
    });
  }

  async #online(): Promise<string[]> {
    const lines = await this.directory.list();
    return lines.filter(({ online }) => online).map(({ name }) => name);
  }

  /** One host that does not answer must not hide the others. */
  async #withFacts(line: HostLine): Promise<HostLine> {
    if (!line.online) return line;
    try {
      return { ...line, facts: await this.hostFacts(line.name) };
    } catch (error) {
      const { address } = this.#access;
      return { ...line, trouble: toVmFerryError(error, { what: 'read facts', address }).message };
    }
  }
}
