/**
 * Rehearsals on a host's libvirt: transient domains on networks of their own. libvirt ends them by itself when the
 * connection goes that began them; what else they leave is found by their name, whoever is there to clear it.
 */
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { VmState } from '../../domain/vm.ts';
import { CreateFlag } from '../../protocols/libvirt/index.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { LibvirtHost } from './connect.ts';
import type { LibvirtHostOptions } from './connect.ts';
import { isRefusal } from './faults.ts';
import { isOff, readState, waitUntilOff } from './lifecycle.ts';
import { networkXml } from './rehearsal-xml.ts';
import type { HostAddress, RehearsalDomain, RehearsalName } from './rehearsal-xml.ts';
import { emulatorOwner } from './state-owners.ts';
import type { FileOwner } from './state-files.ts';

/** Starting QEMU waits for storage, labels and the hook. */
const startMs = 120_000;
const endMs = 60_000;
/** The agent's answer; libvirt waits 5 s for an agent that sleeps. */
const agentMs = 20_000;

const logFolder = 'var/log/libvirt/qemu';
const nvramFolder = 'var/lib/libvirt/qemu/nvram';

/** Of a console, what was written since the last look; it can be cut at the front where the guest writes much. */
export interface ConsoleLook {
  text: string;
  /** To be given with the next look. */
  next: number;
}

/** Every method throws the domain errors of `LibvirtHost.use`. */
export class LibvirtRehearsals {
  readonly #host: LibvirtHost;
  /** Domains that live by the connection, and calls that use it: without any it is closed. */
  readonly #alive = new Set<string>();
  #calls = 0;

  /** A connection of its own: what is begun here ends with it, and with nothing else. */
  constructor(options: LibvirtHostOptions) {
    this.#host = new LibvirtHost(options);
  }

  close = (): Promise<void> => this.#host.close();

  /** Where the guest's console is written to, as the host names it. */
  consolePath = ({ name }: RehearsalName): string => `/${logFolder}/${name}-console.log`;

  /** Whom QEMU runs as: its images have to be within that user's reach. */
  emulator = (): Promise<FileOwner> => this.#use((connection) => emulatorOwner(connection));

  /**
   * Networks, then the domain, which stands still until `run`. Nothing of that name is there: `end` came before.
   * Throws `start-refused-by-guard`.
   */
  async begin(
    { as, xml, networks }: RehearsalDomain,
    addresses: readonly (HostAddress | undefined)[],
  ): Promise<void> {
    // Of a host that never started a guest libvirt has made none yet.
    await mkdir(join(this.#host.fileRoot, logFolder), { recursive: true, mode: 0o700 });
    this.#alive.add(as.uuid);
    await this.#use(async (connection) => {
      for (const [index, network] of networks.entries())
        await connection.call('NetworkCreateXML', { xml: networkXml(network, addresses[index]) });
      const flags = CreateFlag.paused | CreateFlag.autodestroy;
      await connection.call('DomainCreateXML', { xml, flags }, { timeoutMs: startMs });
    });
  }

  async run({ uuid }: RehearsalName): Promise<void> {
    await this.#use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      await connection.call('DomainResume', { dom });
    });
  }

  /** Undefined once it is gone. */
  async state({ uuid }: RehearsalName): Promise<VmState | undefined> {
    const state = await this.#use((connection) => readState(connection, uuid));
    return state === undefined || isOff(state) ? undefined : state;
  }

  /** Whether the guest's agent answers now. */
  async agentAnswers({ uuid }: RehearsalName): Promise<boolean> {
    return this.#use(async (connection) => {
      try {
        const { dom } = await connection.call('DomainLookupByUUID', { uuid });
        await connection.call('DomainGetTime', { dom }, { timeoutMs: agentMs });
        return true;
      } catch (error) {
        if (noAnswer.some((name) => isRefusal(error, name))) return false;
        throw error;
      }
    });
  }

  /** What the console got since `from`, at most `mostBytes` of its end. */
  async console(name: RehearsalName, from: number, mostBytes: number): Promise<ConsoleLook> {
    const path = join(this.#host.fileRoot, this.consolePath(name));
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) return { text: '', next: 0 };
    // A log that became shorter was begun anew by the one that writes it.
    const begin = Math.max(found.size < from ? 0 : from, found.size - mostBytes);
    if (begin >= found.size) return { text: '', next: found.size };
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(found.size - begin),
      position: begin,
    });
    return { text: buffer.toString('latin1', 0, bytesRead), next: begin + bytesRead };
  }

  /** Whatever is there of it goes: the guest first, then its networks and the files that libvirt wrote. Safe to repeat. */
  async end(name: RehearsalName): Promise<void> {
    await this.#use(async (connection) => {
      await endDomain(connection, name);
      await waitUntilOff(this.#host, name.uuid, { timeoutMs: endMs });
      await endNetworks(connection, name);
      await this.#removeFiles(name);
      this.#alive.delete(name.uuid);
    });
  }

  async #use<T>(act: (connection: Connection) => Promise<T>): Promise<T> {
    this.#calls += 1;
    try {
      return await this.#host.use(act);
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0 && this.#alive.size === 0) await this.#host.close();
    }
  }

  async #removeFiles({ name }: RehearsalName): Promise<void> {
    for (const folder of [logFolder, nvramFolder]) {
      const path = join(this.#host.fileRoot, folder);
      const own = [`${name}.`, `${name}-console.log`, `${name}_VARS.`];
      const found = await readdir(path).catch(() => []);
      for (const file of found.filter((one) => own.some((start) => one.startsWith(start))))
        await rm(join(path, file), { force: true });
    }
  }
}

/** It sleeps, has not come up yet, or is none; or the guest is gone. */
const noAnswer = [
  ...(['AGENT_UNRESPONSIVE', 'AGENT_UNSYNCED', 'OPERATION_INVALID'] as const),
  ...(['NO_DOMAIN', 'OPERATION_FAILED', 'ARGUMENT_UNSUPPORTED'] as const),
];

async function endDomain(connection: Connection, { uuid, name }: RehearsalName): Promise<void> {
  try {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    // One that has our UUID and another name was made by somebody else.
    if (dom.name !== name) throw new Error(`${dom.name} has the UUID ${uuid} of ${name}`);
    await connection.call('DomainDestroyFlags', { dom }, { timeoutMs: endMs });
  } catch (error) {
    if (!isRefusal(error, 'NO_DOMAIN') && !isRefusal(error, 'OPERATION_INVALID')) throw error;
  }
}

async function endNetworks(connection: Connection, { name }: RehearsalName): Promise<void> {
  const { nets } = await connection.call('ConnectListAllNetworks', { needResults: 1 });
  for (const net of nets.filter((one) => one.name.startsWith(`${name}-`))) {
    try {
      await connection.call('NetworkDestroy', { net });
    } catch (error) {
      if (!isRefusal(error, 'NO_NETWORK')) throw error;
    }
  }
}
