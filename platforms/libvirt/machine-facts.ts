/** What of a host a running guest would feel, and what a migration hangs on; see `MachineFacts`. */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { qemuTlsFiles } from '../../domain/host.ts';
import type { CpuFacts, MachineFacts, QemuTls } from '../../domain/host.ts';
import { ListNetworksFlag } from '../../protocols/libvirt/index.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { readBridges } from './bridges.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';
import { isThere } from './is-there.ts';

/** Throws the domain errors of `LibvirtHost.use`, and `bridges-unreadable`. */
export async function readMachineFacts(
  host: LibvirtHost,
): Promise<Omit<MachineFacts, 'clockAheadMs'>> {
  const bridges = Object.fromEntries(
    (await readBridges(host.name)).map(({ name, mtu }) => [name, mtu]),
  );
  const [cpuInfo, qemuConf] = await Promise.all([
    readFile('/proc/cpuinfo', 'utf8').catch(() => ''),
    readFile(join(host.fileRoot, 'etc/libvirt/qemu.conf'), 'utf8').catch(() => ''),
  ]);
  const cpu = readCpu(cpuInfo);
  const { hostname, networks } = await host.use(async (connection) => ({
    ...(await connection.call('ConnectGetHostname', {})),
    networks: await readNetworkMtus(connection, bridges),
  }));
  return {
    hostname,
    kernel: release(),
    ...(cpu === undefined ? {} : { cpu }),
    mtus: { bridges, networks },
    lockManager: settingOf(qemuConf, 'lock_manager'),
    qemuTls: await readQemuTls(qemuConf, host.fileRoot),
  };
}

/** The first CPU of /proc/cpuinfo; undefined where it is not told in x86's words. */
export function readCpu(cpuInfo: string): CpuFacts | undefined {
  const valueOf = (key: string): string =>
    new RegExp(`^${key}\\s*:[ \\t]*(.*)$`, 'm').exec(cpuInfo)?.[1]?.trim() ?? '';
  const vendor = valueOf('vendor_id');
  const flags = valueOf('flags').split(' ');
  if (vendor === '' || flags.length < 2) return undefined;
  const signature = ['cpu family', 'model', 'stepping'].map(valueOf);
  return {
    vendor,
    signature: signature.includes('') ? '' : signature.join('-'),
    microcode: valueOf('microcode'),
    has64Bit: flags.includes('lm'),
    hasNx: flags.includes('nx'),
  };
}

/** A setting of libvirt's own files, without its quotes; empty if it is not set, or commented out. */
export const settingOf = (conf: string, key: string): string =>
  new RegExp(`^\\s*${key}\\s*=\\s*"?([^"#\\n]*)"?`, 'm').exec(conf)?.[1]?.trim() ?? '';

/** libvirt looks into a folder for migrations, if one is named or stands, else into the one for everything. */
async function readQemuTls(conf: string, root: string): Promise<QemuTls> {
  const own = '/etc/pki/libvirt-migrate';
  const folder =
    settingOf(conf, 'migrate_tls_x509_cert_dir') ||
    ((await isThere(join(root, own))) ? own : '') ||
    settingOf(conf, 'default_tls_x509_cert_dir') ||
    '/etc/pki/qemu';
  const there = await Promise.all(qemuTlsFiles.map((file) => isThere(join(root, folder, file))));
  return { folder, missing: qemuTlsFiles.filter((_, at) => there[at] !== true) };
}

/** Of the active networks that have a bridge of this kernel. */
async function readNetworkMtus(
  connection: Connection,
  bridges: Record<string, number>,
): Promise<Record<string, number>> {
  const { nets } = await connection.call('ConnectListAllNetworks', {
    needResults: 1,
    flags: ListNetworksFlag.active,
  });
  const found: Record<string, number> = {};
  for (const net of nets) {
    try {
      const { name } = await connection.call('NetworkGetBridgeName', { net });
      const mtu = bridges[name];
      if (mtu !== undefined) found[net.name] = mtu;
    } catch (error) {
      // It has none, as one that hands out devices, or it went away meanwhile.
      if (!isRefusal(error, 'INTERNAL_ERROR') && !isRefusal(error, 'NO_NETWORK')) throw error;
    }
  }
  return found;
}
