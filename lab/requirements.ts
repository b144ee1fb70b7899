/** What a machine needs to be a lab; said before anything is made. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { cgroupFolder, makeCgroup, removeCgroup } from './cgroup.ts';

export interface Shortcoming {
  what: string;
  why: string;
  remedy: string;
}

export interface MachineReport {
  /** Whether a lab can be made here. */
  ok: boolean;
  /** What stands in the way. */
  missing: Shortcoming[];
  /** What the lab will do without. */
  limited: Shortcoming[];
}

const programs: readonly { program: string; aptPackage: string; why: string }[] = [
  { program: 'libvirtd', aptPackage: 'libvirt-daemon-system', why: 'it is what the hosts run' },
  { program: 'virtlogd', aptPackage: 'libvirt-daemon-system', why: 'it comes with libvirtd' },
  { program: 'virsh', aptPackage: 'libvirt-clients', why: 'it asks libvirtd and defines guests' },
  { program: 'qemu-system-x86_64', aptPackage: 'qemu-system-x86', why: 'it runs the guests' },
  { program: 'qemu-img', aptPackage: 'qemu-utils', why: 'it makes qcow2 disks' },
  { program: 'certtool', aptPackage: 'gnutls-bin', why: 'it makes the certificates' },
  { program: 'socat', aptPackage: 'socat', why: 'it forwards ports into the lab' },
  { program: 'ip', aptPackage: 'iproute2', why: 'it makes namespaces and cables' },
  { program: 'tc', aptPackage: 'iproute2', why: 'it caps the rate of cables' },
  { program: 'nsenter', aptPackage: 'util-linux', why: 'it enters hosts' },
  { program: 'unshare', aptPackage: 'util-linux', why: 'it makes hosts' },
  { program: 'fallocate', aptPackage: 'util-linux', why: 'it fills disks' },
  { program: 'losetup', aptPackage: 'mount', why: 'it attaches the storage of hosts' },
  { program: 'mkfs.ext4', aptPackage: 'e2fsprogs', why: 'it formats the storage of hosts' },
];

/** Debian keeps these out of the PATH of people who are not root. */
const extraFolders = ['/usr/sbin', '/sbin'];

async function isProgram(name: string): Promise<boolean> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...extraFolders];
  for (const folder of folders) {
    const there = await access(join(folder, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return true;
  }
  return false;
}

async function missingPrograms(): Promise<Shortcoming[]> {
  const found = await Promise.all(programs.map(({ program }) => isProgram(program)));
  return programs
    .filter((_, index) => found[index] !== true)
    .map(({ program, aptPackage, why }) => ({
      what: `the program ${program}`,
      why,
      remedy: `apt-get install --no-install-recommends ${aptPackage}`,
    }));
}

interface Trial extends Shortcoming {
  /** Shell script that succeeds where the thing works; run in namespaces that end with it. */
  script: string;
}

// Each is tried, not looked up: a module may be built in, loadable or forbidden, and only a trial tells.
const trials: readonly Trial[] = [
  {
    what: 'mount, UTS and network namespaces',
    why: 'a host of the lab is a set of them',
    remedy: 'In a container, run it privileged (CAP_SYS_ADMIN and CAP_NET_ADMIN).',
    script: 'true',
  },
  {
    what: 'veth pairs and bridges',
    why: 'they are the cables and the switch',
    remedy: 'Load the kernel modules veth and bridge.',
    script: 'ip link add b0 type bridge && ip link add v0 type veth peer name v1',
  },
  {
    what: 'overlay mounts',
    why: "they give hosts mount points without making folders in the machine's /etc and /var",
    remedy: 'Load the kernel module overlay; in a container, run it privileged.',
    script: 'mount -t overlay -o ro,lowerdir=/usr:/etc overlay /mnt',
  },
];

async function works(script: string): Promise<boolean> {
  const args = ['--mount', '--uts', '--net', '--propagation', 'private', '/bin/sh', '-ec', script];
  const result = await execa('unshare', args, { timeout: 10_000, reject: false });
  return result.exitCode === 0;
}

async function isThere(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

const devices: readonly (Shortcoming & { path: string })[] = [
  {
    path: '/dev/loop-control',
    what: 'loop devices',
    why: "a host's storage is a file with a file system of its own, so that it can be full",
    remedy: 'Load the kernel module loop; in a container, pass /dev/loop-control and /dev/loop*.',
  },
  {
    path: '/dev/net/tun',
    what: 'tun/tap devices',
    why: "guests' network cards are taps",
    remedy: 'Load the kernel module tun; in a container, pass /dev/net/tun.',
  },
];

async function limitations(): Promise<Shortcoming[]> {
  const limited: Shortcoming[] = [];
  const cgroup = cgroupFolder(`vmferry-check-${process.pid}`);
  const made = makeCgroup(cgroup);
  removeCgroup(cgroup);
  if (!made) {
    limited.push({
      what: 'cgroups of our own (version 2)',
      why: 'without them a host cannot be frozen or lose its power; everything else works',
      remedy: 'Mount cgroup2 writable.',
    });
  }
  const shaping =
    'ip link add v0 type veth peer name v1 && tc qdisc add dev v0 root tbf rate 1mbit burst 64kb latency 50ms';
  if (!(await works(shaping))) {
    limited.push({
      what: 'rate limits on cables (tc tbf)',
      why: 'without them a cable can be cut but not slowed; everything else works',
      remedy: 'Load the kernel module sch_tbf.',
    });
  }
  return limited;
}

/** Looks and tries, changes nothing that stays. Takes about 0.2 s. */
export async function checkMachine(): Promise<MachineReport> {
  const missing: Shortcoming[] = [];
  if (process.platform !== 'linux') {
    const remedy = 'Use a Linux machine, or a Linux VM on this one.';
    missing.push({ what: 'Linux', why: 'the lab is made of its namespaces', remedy });
    return { ok: false, missing, limited: [] };
  }
  missing.push(...(await missingPrograms()));
  if (process.getuid?.() !== 0) {
    const why = 'it makes namespaces, mounts and network devices; the quick tests run without';
    missing.push({ what: 'the rights of root', why, remedy: 'Run it as root, e.g. with sudo.' });
    return { ok: false, missing, limited: [] };
  }
  for (const { path, what, why, remedy } of devices) {
    if (!(await isThere(path))) missing.push({ what, why, remedy });
  }
  for (const { script, what, why, remedy } of trials) {
    if (await works(script)) continue;
    missing.push({ what, why, remedy });
    // Without namespaces the other trials say nothing of their own.
    if (script === 'true') break;
  }
  return { ok: missing.length === 0, missing, limited: await limitations() };
}
