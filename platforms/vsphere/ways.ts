/** The ways to the bytes of a vCenter's disks: which one is taken and why, and what is open for it. */
import { needsOperator, VmFerryError } from '../../domain/errors.ts';
import type { ForeignDiskHandle, ForeignVm } from '../../domain/foreign.ts';
import { SoapError } from '../../protocols/soap/index.ts';
import type { SshLogin } from '../ssh/hops.ts';
import { EsxiFile } from './esxi-file.ts';
import { EsxiReach } from './esxi-reach.ts';
import { FolderFile } from './folder-file.ts';
import { NfcExports } from './nfc-export.ts';
import { endLeftLease } from './nfc-lease.ts';
import { leftNotes } from './nfc-notes.ts';
import { nameOf } from './numbers.ts';
import { assertOff, fingerprintOf, lookByDescriptor, openFlatDisk } from './open-disk.ts';
import type { FilesOf } from './open-disk.ts';
import { InventoryPaths } from './paths.ts';
import { propertiesOf } from './properties.ts';
import type { PropertySet } from './properties.ts';
import { referenceIn } from './references.ts';
import { VsphereSession } from './session.ts';
import type { VsphereLogin } from './session.ts';
import { VddkDisk } from './vddk-disk.ts';
import { sweepVddkServers } from './vddk-server.ts';
import type { VddkOptions, VddkWish } from './vddk-server.ts';

export const DataPath = {
  /** VDDK where it is configured, else /folder; NFC where that is refused. */
  auto: 'auto',
  vddk: 'vddk',
  folder: 'folder',
  ssh: 'ssh',
  nfc: 'nfc',
} as const;
export type DataPath = (typeof DataPath)[keyof typeof DataPath];

export interface WayOptions {
  /** `auto` if absent. */
  dataPath?: DataPath;
  vddk?: VddkOptions;
  /** ESXi hosts to read disks from directly, by the name that the vCenter has for them. Others are read through it. */
  direct?: Readonly<Record<string, VsphereLogin>>;
  /** ESXi hosts by SSH, likewise; for `ssh` alone. */
  ssh?: Readonly<Record<string, SshLogin>>;
  /** Reads at once; 6 if absent. */
  parallelism?: number;
  /** Names what is left here if this process is killed; without it nothing is noted, and nothing swept. */
  label?: string;
}

const defaultParallelism = 6;
/** For calls while all reads are under way. */
const callConnections = 2;
/** An ESXi's sshd takes ten channels of a session, and has few cores to spare. */
const mostSshSessions = 4;
/** Of every ESXi that is asked by itself. */
const ownDatacenter = 'ha-datacenter';

/** How many connections a session needs for these options. */
export const connectionsFor = ({ parallelism = defaultParallelism }: WayOptions): number =>
  parallelism + callConnections;

export class ByteWays {
  readonly #options: WayOptions & VsphereLogin;
  readonly #session: VsphereSession;
  readonly #vddkDisks = new Set<VddkDisk>();
  readonly #direct = new Map<string, Promise<VsphereSession>>();
  readonly #reaches = new Map<string, EsxiReach>();
  readonly #nfc: NfcExports;
  /** The user may not read files of datastores. */
  #isFolderRefused = false;

  constructor(options: WayOptions & VsphereLogin, session: VsphereSession) {
    this.#options = options;
    this.#session = session;
    const { trust, label } = options;
    const localAddress = options.dataAddress ?? options.localAddress;
    const login = { trust, ...(localAddress === undefined ? {} : { localAddress }) };
    this.#nfc = new NfcExports({ session, login, label });
  }

  /** Whether it reads disks that lie on others as one. */
  get readsChains(): boolean {
    return this.#dataPath === DataPath.vddk;
  }

  /** Rejects with VmFerryError: those of `openFlatDisk`, `vsphere-host-without-ssh`. */
  async open(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const { vddk, dataPath = DataPath.auto } = this.#options;
    try {
      const taken = this.#dataPath;
      if (taken === DataPath.vddk && vddk !== undefined)
        return { ...(await this.#openByVddk(vddk, vm, key, signal)), way: this.#way() };
      if (taken === DataPath.nfc)
        return { ...(await this.#nfc.open(vm, key, signal)), way: this.#way() };
      return { ...(await this.#openFlat(vm, key, signal)), way: this.#way() };
    } catch (error) {
      if (dataPath !== DataPath.auto || this.#isFolderRefused || !isRefusal(error)) throw error;
      this.#isFolderRefused = true;
      return await this.open(vm, key, signal);
    }
  }

  async #openFlat(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const { parallelism = defaultParallelism } = this.#options;
    const bySsh = this.#dataPath === DataPath.ssh;
    const access = {
      session: this.#session,
      parallelism,
      files: bySsh ? this.#sshFiles : this.#folderFiles,
      way: bySsh ? 'by SSH' : 'through /folder',
    };
    return await openFlatDisk(access, vm, key, signal);
  }

  /** The one that is taken: never `auto`. */
  get #dataPath(): Exclude<DataPath, 'auto'> {
    const { dataPath = DataPath.auto, vddk } = this.#options;
    if (dataPath !== DataPath.auto) return dataPath;
    if (this.#isFolderRefused) return DataPath.nfc;
    return vddk === undefined ? DataPath.folder : DataPath.vddk;
  }

  /** With the reason. */
  #way(): string {
    const { dataPath = DataPath.auto } = this.#options;
    const words = {
      vddk: 'by VDDK',
      folder: 'by HTTPS from /folder',
      ssh: 'by SSH from its ESXi',
      nfc: 'by NFC',
    };
    const taken = this.#dataPath;
    if (dataPath !== DataPath.auto) return `${words[taken]}: dataPath is ${taken}`;
    if (taken === DataPath.nfc)
      return `${words[taken]}: dataPath is auto, and /folder refuses the user`;
    const is = taken === DataPath.vddk ? 'is' : 'is not';
    return `${words[taken]}: dataPath is auto, and vddk.libdir ${is} configured`;
  }

  /** Its fingerprint is that of the other ways: the descriptor is read by /folder. */
  async #openByVddk(
    vddk: VddkOptions,
    vm: ForeignVm,
    key: string,
    signal?: AbortSignal,
  ): Promise<ForeignDiskHandle> {
    const session = this.#session;
    const { found, view, marks } = await lookByDescriptor(
      { session, files: this.#folderFiles },
      { vm, key },
      signal,
    );
    const { username, password } = this.#options;
    const wish = async (): Promise<VddkWish> => ({
      ...{ server: session.server.host, port: session.server.port, username, password },
      ...{ thumbprint: await session.thumbprintSha1(), vm: vm.id, file: view.path },
    });
    const disk = new VddkDisk(vddk, view.capacityBytes, wish);
    this.#vddkDisks.add(disk);
    return { source: disk, fingerprint: fingerprintOf({ vm, view, found }, marks) };
  }

  async sweep(): Promise<string[]> {
    const { vddk, label } = this.#options;
    const notes = label === undefined ? [] : await leftNotes(label);
    for (const note of notes) await endLeftLease(this.#session, note);
    const servers = vddk === undefined ? [] : await sweepVddkServers(vddk.label);
    return [...notes.map(({ path }) => path), ...servers];
  }

  /** Ends all but the session that was given. Rejects with the first of what could not be said. */
  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#direct.values());
    const sessions = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const all = [this.#nfc, ...this.#vddkDisks, ...sessions, ...this.#reaches.values()];
    const results = await Promise.allSettled(all.map((one) => one.close()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  readonly #folderFiles: FilesOf = async ({ found, explain, signal }) => {
    const direct = await this.#directFor(found, signal);
    const session = direct ?? this.#session;
    const datacenter =
      direct === undefined ? await this.#datacenterOf(found, signal) : ownDatacenter;
    return (path) => new FolderFile({ session, path, datacenter, explain });
  };

  readonly #sshFiles: FilesOf = async ({ found, explain, signal }) => {
    // What locks a disk there shows in odd ways, so that it is not left to the ESXi to say it.
    await assertOff(found, explain);
    const name = await this.#hostOf(found, signal);
    const reach = this.#reachOf(name);
    return (path) => new EsxiFile({ reach, path, explain });
  };

  #reachOf(name: string): EsxiReach {
    const known = this.#reaches.get(name);
    if (known !== undefined) return known;
    const { ssh = {}, parallelism = defaultParallelism } = this.#options;
    const login = Object.hasOwn(ssh, name) ? ssh[name] : undefined;
    if (login === undefined) throw withoutSsh(name, this.#session.host);
    const reach = new EsxiReach(name, login, Math.min(parallelism, mostSshSessions));
    this.#reaches.set(name, reach);
    return reach;
  }

  async #datacenterOf(found: PropertySet, signal?: AbortSignal): Promise<string> {
    const parent = referenceIn(found.get('parent'));
    const { datacenter } = await new InventoryPaths(this.#session).of('', parent, signal);
    return datacenter || ownDatacenter;
  }

  /** The name of the ESXi where the VM is; empty if it is on none. */
  async #hostOf(found: PropertySet, signal?: AbortSignal): Promise<string> {
    const host = referenceIn(found.get('runtime.host'));
    if (host === undefined) return '';
    const what = `find the name of ${host.id}`;
    const named = await propertiesOf(this.#session, host, ['name'], { what, signal });
    return nameOf(named.text('name'));
  }

  async #directFor(found: PropertySet, signal?: AbortSignal): Promise<VsphereSession | undefined> {
    const { direct = {} } = this.#options;
    if (Object.keys(direct).length === 0) return undefined;
    const name = await this.#hostOf(found, signal);
    const login = Object.hasOwn(direct, name) ? direct[name] : undefined;
    return login === undefined ? undefined : await this.#openDirect(name, login, signal);
  }

  async #openDirect(
    name: string,
    login: VsphereLogin,
    signal?: AbortSignal,
  ): Promise<VsphereSession> {
    const known = this.#direct.get(name);
    if (known !== undefined) return await known;
    const opening = VsphereSession.open(login, connectionsFor(this.#options), signal);
    this.#direct.set(name, opening);
    // One that failed is tried anew the next time.
    opening.catch(() => this.#direct.delete(name));
    return await opening;
  }
}

/** By HTTP, with a login that is good otherwise. */
const isRefusal = (error: unknown): boolean =>
  error instanceof VmFerryError &&
  error.cause instanceof SoapError &&
  (error.cause.status === 401 || error.cause.status === 403);

const withoutSsh = (name: string, host: string): Error =>
  needsOperator({
    code: 'vsphere-host-without-ssh',
    message: `no way by SSH is configured to ${name === '' ? 'the host of the VM' : name}, and disks are to be read by SSH`,
    remedy: 'Name it in `sshHosts` of this provider as the vCenter does, or use the way `folder`.',
    host,
  });
