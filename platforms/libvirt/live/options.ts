/** What a live move is asked for, and how libvirt is asked for it. */
import { permanent } from '../../../domain/errors.ts';
import { MigrateFlag, MigrateParam, param } from '../../../protocols/libvirt/index.ts';
import type { TypedParam } from '../../../protocols/libvirt/index.ts';

/** How pages are made smaller; each of both ends has to know it. */
export const LiveCompression = {
  /** Sends what changed of a page; a cache at the source. */
  xbzrle: 'xbzrle',
  /** A thread a page; QEMU refuses it beside post-copy. */
  mt: 'mt',
} as const;
export type LiveCompression = (typeof LiveCompression)[keyof typeof LiveCompression];

export interface LiveMigrationOptions {
  uuid: string;
  /** Where the source's libvirtd finds the target's: a name or address that is in its certificate. */
  targetAddress: string;
  /** Port of the target's libvirtd for TLS; 16514 if absent. */
  targetPort?: number;
  /** Where the memory goes, if not where the target's libvirtd says: a migration network's address of the target. */
  migrationAddress?: string;
  /** The name in the target's QEMU certificate, if `migrationAddress` is not in it. */
  certificateName?: string;
  /** The live definition for the target, if it has to differ; libvirt checks that the guest cannot tell. */
  targetXml?: string;
  /** The definition that the target keeps; without it libvirt takes the source's. */
  persistentXml?: string;
  targetName?: string;
  /** Keep a definition at the target; true if absent. */
  persist?: boolean;
  /** Forget the definition at the source; false if absent, since only a commit may do that. */
  undefineSource?: boolean;
  /** The caller has proved that both hosts write the same storage: libvirt would refuse to believe it. */
  storageIsProved?: boolean;
  /** Targets of the disks (`vda`) to copy along; their files have to be at the target, of the right size. */
  copyDisks?: readonly string[];
  /** Where the copied disks go, as `migrationAddress`. */
  disksAddress?: string;
  /** Cap in MiB/s; none if absent. */
  bandwidthMiBPerSecond?: number;
  /** The longest pause that ends the run, ms; 300 if absent. */
  maxDowntimeMs?: number;
  parallelConnections?: number;
  compression?: LiveCompression;
  /** Leave for `startPostCopy`; libvirt does not take it up later. */
  allowPostCopy?: boolean;
  /**
   * The guest arrives paused, whoever hears of it: where the target's answer is lost at the switch, libvirt has the
   * source go on, and nothing else may run then. Not beside `allowPostCopy`, which is over only once the guest runs there.
   */
  arrivePaused?: boolean;
  /** Leave for QEMU to slow the guest down; libvirt does not take it up later. */
  autoConverge?: boolean;
  /**
   * Goes on with a run that was interrupted in post-copy; everything else as at its begin. Of four trials with libvirt
   * 9.0 and QEMU 7.2 one arrived, one was refused, and two came to no end.
   */
  resumePostCopy?: boolean;
}

/** The longest pause, if nobody chose another. */
export const defaultMaxDowntimeMs = 300;

/** The arguments of libvirt's call. */
export interface PeerCall {
  dconnuri: string;
  params: TypedParam[];
  flags: number;
}

/**
 * libvirt's words for the options: peer to peer, live, TLS for the daemons' talk as well as for memory and disks,
 * always. Throws `live-options-invalid` for what could never work.
 *
 * Certificates that this needs: both libvirtd trust one CA (/etc/pki/CA/cacert.pem); the target's listens with
 * /etc/pki/libvirt/servercert.pem, the source's calls with clientcert.pem there, keys in `private`. Both QEMU trust
 * ca-cert.pem in `migrate_tls_x509_cert_dir` (or `default_tls_x509_cert_dir`, /etc/pki/qemu) of qemu.conf; the target
 * has server-cert.pem and server-key.pem there, and with `migrate_tls_x509_verify = 1` the source client-cert.pem and
 * client-key.pem. The names or addresses used here have to be in the target's.
 */
export function peerCallOf(options: LiveMigrationOptions): PeerCall {
  const problem = problemOf(options);
  if (problem !== undefined) {
    throw permanent({
      code: 'live-options-invalid',
      message: `the live move of ${options.uuid} cannot be asked for: ${problem}`,
      remedy: 'Change the options that it names.',
    });
  }
  const port = options.targetPort === undefined ? '' : `:${options.targetPort}`;
  return {
    dconnuri: `qemu+tls://${inUri(options.targetAddress)}${port}/system`,
    params: paramsOf(options),
    flags: flagsOf(options),
  };
}

function flagsOf(options: LiveMigrationOptions): number {
  const { persist = true, copyDisks = [] } = options;
  const wanted: readonly [number, boolean | undefined][] = [
    [MigrateFlag.persistDest, persist],
    [MigrateFlag.undefineSource, options.undefineSource],
    [MigrateFlag.paused, options.arrivePaused],
    [MigrateFlag.unsafe, options.storageIsProved],
    [MigrateFlag.nonSharedDisk, copyDisks.length > 0],
    [MigrateFlag.parallel, options.parallelConnections !== undefined],
    [MigrateFlag.compressed, options.compression !== undefined],
    [MigrateFlag.postcopy, options.allowPostCopy === true || options.resumePostCopy === true],
    [MigrateFlag.autoConverge, options.autoConverge],
    [MigrateFlag.postcopyResume, options.resumePostCopy],
  ];
  const always =
    MigrateFlag.live | MigrateFlag.peer2peer | MigrateFlag.tls | MigrateFlag.abortOnError;
  return wanted.reduce((flags, [flag, on]) => (on === true ? flags | flag : flags), always);
}

function paramsOf(options: LiveMigrationOptions): TypedParam[] {
  const params: TypedParam[] = [];
  const text = (field: string, value: string | undefined): void => {
    if (value !== undefined) params.push(param.string(field, value));
  };
  const tcp = (address: string | undefined): string | undefined =>
    address === undefined ? undefined : `tcp://${inUri(address)}`;
  text(MigrateParam.uri, tcp(options.migrationAddress));
  text(MigrateParam.disksUri, tcp(options.disksAddress));
  text(MigrateParam.tlsDestination, certificateNameOf(options));
  text(MigrateParam.destinationName, options.targetName);
  text(MigrateParam.destinationXml, options.targetXml);
  text(MigrateParam.persistentXml, options.persistentXml);
  text(MigrateParam.compression, options.compression);
  for (const disk of options.copyDisks ?? []) text(MigrateParam.migrateDisks, disk);
  const { bandwidthMiBPerSecond: cap } = options;
  if (cap !== undefined) params.push(param.u64(MigrateParam.bandwidth, cap));
  // Else that phase would have none.
  if (cap !== undefined && options.allowPostCopy === true)
    params.push(param.u64(MigrateParam.bandwidthPostcopy, cap));
  if (options.parallelConnections !== undefined)
    params.push(param.i32(MigrateParam.parallelConnections, options.parallelConnections));
  return params;
}

/**
 * With several connections QEMU itself opens them, and libvirt 9.0 then has the copied disks' connections hold the
 * certificate against no name at all (`blockdev-add`: Certificate does not match the hostname), unless one is given.
 */
const certificateNameOf = (options: LiveMigrationOptions): string | undefined => {
  const { parallelConnections, copyDisks = [] } = options;
  if (options.certificateName !== undefined) return options.certificateName;
  if (parallelConnections === undefined || copyDisks.length === 0) return undefined;
  return options.migrationAddress ?? options.targetAddress;
};

/** What cannot work, said before a guest is touched. */
function problemOf(options: LiveMigrationOptions): string | undefined {
  const { targetAddress, migrationAddress, disksAddress, parallelConnections } = options;
  const strange = [targetAddress, migrationAddress, disksAddress].find(
    (address) => address !== undefined && !/^[A-Za-z0-9_.:-]{1,255}$/.test(address),
  );
  if (strange !== undefined) return `"${strange}" is no name and no address of a host`;
  const counts: readonly [string, number | undefined, number][] = [
    ['targetPort', options.targetPort, 65_535],
    ['bandwidthMiBPerSecond', options.bandwidthMiBPerSecond, 8_796_093_022_207],
    ['maxDowntimeMs', options.maxDowntimeMs, 2_000_000],
    ['parallelConnections', parallelConnections, 255],
  ];
  for (const [name, value, most] of counts) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most))
      return `${name} is ${value}, not a whole number of 1 to ${most}`;
  }
  if (options.allowPostCopy === true && options.arrivePaused === true)
    return 'post-copy and arriving paused exclude one another';
  // QEMU up to 9 has no post-copy over several connections, and multifd takes compression of its own kinds only.
  if (options.allowPostCopy === true && parallelConnections !== undefined)
    return 'post-copy and parallel connections exclude one another';
  if (options.allowPostCopy === true && options.compression === LiveCompression.mt)
    return 'post-copy and compression by threads exclude one another';
  if (parallelConnections !== undefined && options.compression !== undefined)
    return 'parallel connections and this compression exclude one another';
  return undefined;
}

const inUri = (address: string): string => (address.includes(':') ? `[${address}]` : address);
