// @ts-check
/** Debian packages that the hosts, the lab and the contract tests use. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { capture, findProgram, run } from './process.mjs';

/** The package, and a program of it that tells whether a machine that is not Debian has the same. */
const wanted = [
  { name: 'libvirt-daemon', program: 'libvirtd' },
  { name: 'libvirt-daemon-driver-qemu', program: 'virtqemud|libvirtd' },
  { name: 'libvirt-daemon-system', program: 'libvirtd' },
  { name: 'libvirt-clients', program: 'virsh' },
  { name: 'qemu-system-x86', program: 'qemu-system-x86_64' },
  { name: 'qemu-utils', program: 'qemu-nbd' },
  { name: 'nbdkit', program: 'nbdkit' },
  { name: 'libnbd-bin', program: 'nbdinfo' },
  { name: 'gnutls-bin', program: 'certtool' },
  { name: 'socat', program: 'socat' },
  { name: 'busybox-static', program: 'busybox' },
  { name: 'iproute2', program: 'ip' },
  // A test's firewall.
  { name: 'nftables', program: 'nft' },
  { name: 'e2fsprogs', program: 'mkfs.ext4' },
  { name: 'util-linux', program: 'nsenter' },
  { name: 'procps', program: 'pgrep' },
  // Its daemon stays off unless /etc/default/saslauthd says otherwise.
  { name: 'sasl2-bin', program: 'saslpasswd2' },
  { name: 'libsasl2-modules', program: 'saslpasswd2' },
  { name: 'openssh-client', program: 'ssh-keygen' },
  { name: 'ovmf', program: 'qemu-system-x86_64' },
  { name: 'swtpm', program: 'swtpm' },
  { name: 'swtpm-tools', program: 'swtpm_setup' },
  { name: 'libxml2-utils', program: 'xmllint' },
  // QEMU's and libvirt's drivers for network disks.
  { name: 'qemu-block-extra', program: 'qemu-img' },
  { name: 'libvirt-daemon-driver-storage-rbd', program: 'libvirtd' },
];
const sshServer = 'openssh-server';
/** Servers that the contract tests run on loopback; where they are missing, those tests say so. */
const servers = [
  ...['ceph-mon', 'ceph-osd', 'ceph-common', 'tgt', 'nfs-ganesha-vfs', 'rpcbind'],
  sshServer,
];
/** Any will do for the appliance of libguestfs; a machine that boots one of its own is not given another. */
const hasKernel = () =>
  existsSync('/boot') && readdirSync('/boot').some((name) => /^vmlinu[xz]-/.test(name));
/** What converts guests, and makes one; where it is missing, conversions are tried with a stand-in alone. */
const conversion = ['virt-v2v', 'guestfish', 'mmdebstrap'].concat(
  hasKernel() ? [] : ['linux-image-cloud-amd64'],
);
/** Whose absence costs some tests, not all that hosts are needed for. */
const optional = [...servers, ...conversion];
/** apt waits this long for another apt, s. */
const lockWaitSeconds = 120;
const aptMs = 1_800_000;

/** @returns {Promise<string[]>} packages not installed */
async function missing() {
  const names = [...wanted.map(({ name }) => name), ...optional];
  const { output } = await capture(
    'dpkg-query',
    ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...names],
    {
      timeoutMs: 60_000,
    },
  );
  const installed = new Set(
    output
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}

const isDebian = () => existsSync('/etc/debian_version') && findProgram('apt-get') !== undefined;
const isRoot = () => process.getuid?.() === 0;

/**
 * Why this machine cannot have the packages or use them; undefined if it can.
 * @returns {Promise<import('./setup.mjs').Limit | undefined>}
 */
export async function packagesLimit() {
  if (process.platform !== 'linux') {
    return {
      what: `this is ${process.platform}, and libvirt hosts are Linux`,
      remedy: 'Use a Linux machine, Debian 12 at best.',
    };
  }
  if (!isRoot()) {
    const what = 'not root: real hosts (libvirtd, namespaces, loop devices) cannot be set up';
    return { what, remedy: 'Run it as root, on a machine or in a container made for it.' };
  }
  if (isDebian()) return undefined;
  const absent = wanted.filter(
    ({ program }) => !program.split('|').some((one) => findProgram(one) !== undefined),
  );
  if (absent.length === 0) return undefined;
  return {
    what: `${systemName()} is not Debian, and these programs are missing: ${absent.map(({ program }) => program).join(', ')}`,
    remedy:
      "Install them with the system's own package manager (libvirt, QEMU, nbdkit, libnbd, GnuTLS, socat).",
  };
}

function systemName() {
  try {
    return (
      /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ??
      'this system'
    );
  } catch {
    return 'this system';
  }
}

/** Debian's word for "start no service": https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt */
const servicePolicy = '/usr/sbin/policy-rc.d';

/** Debian's sshd stays down where this file is, at the next boot too: whoever sets up tests has not asked for a way in. */
function keepSshdDown() {
  mkdirSync('/etc/ssh', { recursive: true });
  writeFileSync('/etc/ssh/sshd_not_to_be_run', '', { flag: 'a' });
}

/**
 * Installs without starting a service: the tests start their own storage servers, elsewhere.
 * @param {string[]} names
 */
async function installSilently(names) {
  if (names.length === 0) return;
  const isOurs = !existsSync(servicePolicy);
  const remove = () => rmSync(servicePolicy, { force: true });
  if (isOurs) {
    writeFileSync(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
    // Left behind it would keep every later package from starting its service.
    process.once('exit', remove);
  }
  try {
    await install(names);
  } finally {
    if (isOurs) {
      remove();
      process.removeListener('exit', remove);
    }
  }
}

/** @param {string[]} names */
async function install(names) {
  if (names.length === 0) return;
  // A kernel is fetched only where none is, for appliances: nobody boots it with an initrd of this machine.
  const env = { DEBIAN_FRONTEND: 'noninteractive', INITRD: 'No' };
  const lock = ['-o', `DPkg::Lock::Timeout=${lockWaitSeconds}`];
  await run('apt-get', [...lock, '-q', 'update'], { env, timeoutMs: aptMs });
  await run('apt-get', [...lock, '-q', '-y', '--no-install-recommends', 'install', ...names], {
    env,
    timeoutMs: aptMs,
  });
}

/** @type {import('./step.mjs').Step} */
export const debianStep = {
  title: 'Debian packages',
  check: async () => {
    if (!isDebian()) return 'not Debian, but all programs are there';
    return (await missing()).length === 0 ? `${wanted.length + optional.length} there` : undefined;
  },
  act: async () => {
    const names = await missing();
    await install(names.filter((name) => !optional.includes(name)));
    if (names.includes(sshServer)) keepSshdDown();
    await installSilently(names.filter((name) => optional.includes(name)));
  },
  doing: 'apt-get install (one to four minutes)',
  remedy: `Run \`apt-get update && apt-get install --no-install-recommends ${[...wanted.map(({ name }) => name), ...optional].join(' ')}\` by hand and see what it says.`,
};

/** pip, where Debian left it out; throws where only a person can bring it. */
export async function pipPackages() {
  if (!isDebian() || !isRoot()) throw new Error('`python3 -m pip` does not work here');
  await install(['python3', 'python3-pip']);
}
