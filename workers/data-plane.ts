import { stat } from 'node:fs/promises';
import type { DataPlane, LocalDisk } from '../activities/parts.ts';
import type { ExportEndpoint } from '../activities/contract.ts';
import type { HostConfig } from '../config/schema.ts';
import type { DiskSink, DiskSource } from '../domain/platform.ts';
import { Exports } from '../platforms/libvirt/export.ts';
import { LocalNbdServers } from '../platforms/libvirt/local-nbd.ts';
import type { LocalNbd } from '../platforms/libvirt/local-nbd.ts';
import type { ReadSecret } from '../platforms/libvirt/served-image.ts';
import { openFileSink } from '../transfer/file-sink.ts';
import { openNbdSink } from '../transfer/nbd-sink.ts';
import { allocationDepth, openNbdSource } from '../transfer/nbd-source.ts';
import { openRawSource } from '../transfer/raw-source.ts';
import { TrailingHash } from '../transfer/trailing-hash.ts';
import { ExportTrust } from './export-trust.ts';
import { readClientTrust } from './own-certificate.ts';
import { revocationFault } from './revoked-exports.ts';

/** Enough to keep both cores of a small host busy with TLS; more gain little. */
const remoteConnections = 4;
/** A host that is silent for so long is taken for lost: the copy is tried again, and goes on from its journal. */
const remoteRequestMs = 30_000;
const localConnections = 2;

/** Disks of this host over NBD: shown to one other host under mutual TLS, read and written locally by unix socket. */
export class NbdDataPlane implements DataPlane {
  readonly #config: HostConfig;
  readonly #exports: Exports;
  readonly #local: LocalNbdServers;
  readonly #trust: ExportTrust;

  /** `readSecret` is asked for the secrets of network disks; without it those that have one cannot be opened. */
  constructor(config: HostConfig, readSecret?: ReadSecret) {
    const { name: host, stateDir } = config;
    const common = { host, stateDir, ...(readSecret === undefined ? {} : { readSecret }) };
    this.#config = config;
    this.#local = new LocalNbdServers(common);
    this.#trust = new ExportTrust({ stateDir, tlsDir: config.tls.dir });
    this.#exports = new Exports({
      ...common,
      tlsDir: config.tls.dir,
      address: config.migrationAddress,
      ports: config.exportPorts,
    });
  }

  /** Ends local servers that a killed worker left; for the start of a worker. */
  async endOrphans(): Promise<number> {
    return this.#local.endOrphans();
  }

  async ensureExport(options: Parameters<DataPlane['ensureExport']>[0]): Promise<ExportEndpoint> {
    const { migrationId, name, target, address: asked, ownOnly = false } = options;
    const request = {
      moveId: migrationId,
      diskName: name,
      ...imageOf(options),
      allow: { host: target },
      tellsDepth: ownOnly,
      ...(asked === undefined ? {} : { address: asked }),
    };
    const trust = await this.#trust.now();
    // Each attempt of a copy asks anew, when nobody reads: the moment to let go of old certificates.
    if (await this.#trust.isStale(migrationId, name, trust))
      await this.#exports.remove(migrationId, name);
    await this.#trust.remember(migrationId, name, trust);
    const { address, port, exportName } = await this.#exports.ensure(request);
    return { address, port, exportName, serverName: this.#config.name };
  }

  async closeExports(migrationId: string): Promise<void> {
    await this.#exports.removeAll(migrationId);
    await this.#trust.forgetAll(migrationId);
  }

  async openRemote(
    { address, port, exportName, serverName }: ExportEndpoint,
    { signal, ownOnly, isSmall }: { signal: AbortSignal; ownOnly?: boolean; isSmall?: boolean },
  ): Promise<DiskSource> {
    const trust = await readClientTrust(this.#config);
    return openNbdSource({
      address: { host: address, port },
      exportName,
      ...(ownOnly === true ? { dirtyContext: allocationDepth } : {}),
      tls: { ...trust, serverName },
      connections: isSmall === true ? 1 : remoteConnections,
      allowsMany: true,
      requestTimeoutMs: remoteRequestMs,
      what: `the export of ${serverName} (${address}:${port})`,
      host: this.#config.name,
      signal,
    }).catch((error: unknown) => {
      throw revocationFault(error, this.#config, serverName);
    });
  }

  async openLocal(options: Parameters<DataPlane['openLocal']>[0]): Promise<DiskSource> {
    const { path, signal, cached = false } = options;
    const request = { ...imageOf(options), readOnly: true, cacheNone: !cached };
    const server = await this.#local.open(request, signal);
    const shown = {
      address: { path: server.socketPath },
      connections: localConnections,
      allowsMany: true as const,
      what: path,
      host: this.#config.name,
      signal,
    };
    const isRaw = isRawHere(options);
    return this.#through(server, async () =>
      isRaw ? openRawSource({ ...shown, path, cached }) : openNbdSource(shown),
    );
  }

  /** What QEMU writes another process of QEMU cannot read meanwhile. */
  async followCopy(
    disk: Parameters<DataPlane['followCopy']>[0],
  ): Promise<TrailingHash | undefined> {
    return isRawHere(disk) ? TrailingHash.open(disk.path, disk.sizeBytes) : undefined;
  }

  async openSink(options: Parameters<DataPlane['openSink']>[0]): Promise<DiskSink> {
    const { path, network, sizeBytes, signal, liesOnOther = false } = options;
    const host = this.#config.name;
    if (isRawHere(options)) return openFileSink({ path, sizeBytes, host });
    const request = { ...imageOf(options), readOnly: false, cacheNone: true };
    const server = await this.#local.open(request, signal);
    return this.#through(server, async () => {
      const address = { path: server.socketPath };
      // The server ends with its last client, so the look stays open until the sink is.
      const look = await openNbdSource({ address, connections: 1, what: path, host, signal });
      try {
        // What reads as zeroes may be another image's, and change nothing in that this one has to hold its own.
        const startsZeroed = !liesOnOther && (await readsAsZeroes(look, signal));
        const keepsRoom = network === undefined && (await hasAllRoom(path, sizeBytes));
        return await openNbdSink({
          address,
          connections: 1,
          what: path,
          host,
          startsZeroed,
          keepsRoom,
          signal,
        });
      } finally {
        await look.close();
      }
    });
  }

  /** The server ends with the disk that was opened through it. */
  async #through<T extends DiskSource | DiskSink>(
    server: LocalNbd,
    open: () => Promise<T>,
  ): Promise<T> {
    try {
      const disk = await open();
      const close = disk.close.bind(disk);
      disk.close = async () => {
        await close();
        await server.close();
      };
      return disk;
    } catch (error) {
      await server.close();
      throw error;
    }
  }
}

const imageOf = ({ path, format, network }: LocalDisk): LocalDisk => ({
  path,
  format,
  ...(network === undefined ? {} : { network }),
});

/** As of a raw file: an image that takes up all its disk's size was given it on purpose. */
async function hasAllRoom(path: string, sizeBytes: number): Promise<boolean> {
  const facts = await stat(path);
  return facts.isFile() && facts.blocks * 512 >= sizeBytes;
}

/** A fresh image says so of its whole length at once. */
async function readsAsZeroes(disk: DiskSource, signal: AbortSignal): Promise<boolean> {
  for await (const { zero } of disk.extents(0, disk.sizeBytes, signal)) if (!zero) return false;
  return true;
}

/** Whether the bytes of the file are the guest's. */
const isRawHere = ({ format, network }: LocalDisk): boolean =>
  format === 'raw' && network === undefined;
