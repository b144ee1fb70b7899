/** What is known of guest systems by the names that platforms give them. The list is of what virt-v2v 2.2 says of itself. */
import type { ForeignVm } from '../../../../foreign.ts';

type Guest = Pick<ForeignVm, 'guestOs' | 'guestFamily' | 'arch'>;

/**
 * Systems that are neither Linux nor a Windows of NT 5.1 or later, by vSphere's IDs, an OVF's names and libosinfo's IDs.
 * Parts of words on purpose: `freebsd13_64Guest`, `http://freebsd.org/freebsd/13.1`.
 */
const strange: readonly [RegExp, string][] = [
  [/freebsd/i, 'FreeBSD'],
  [/netbsd/i, 'NetBSD'],
  [/openbsd/i, 'OpenBSD'],
  [/dragonfly/i, 'DragonFly BSD'],
  [/solaris|illumos|omnios|smartos|openindiana/i, 'Solaris'],
  [/darwin|mac ?os|osx/i, 'macOS'],
  [/netware/i, 'NetWare'],
  [/unixware|openserver|\bsco\b/i, 'SCO UNIX'],
  [/ecomstation|\bos2|os\/2/i, 'OS/2'],
  [/vmkernel|esxi?\b/i, 'ESXi'],
  [/haiku|beos/i, 'Haiku'],
  [/^dos|ms-?dos|freedos/i, 'DOS'],
  [
    /win(?:dows)?[ _/-]?(?:31|3\.1|95|98|milleni|2000|2k(?![0-9])|(?:me|nt)(?:guest|[0-9]|\b))/i,
    'a Windows before XP',
  ],
];

/** Systems that are converted, but whose drivers newer sets of virtio-win, or their own kernels, no longer have. */
const old: readonly [RegExp, string][] = [
  [
    /win(?:dows)?[ _/-]?(?:xp|(?:server ?)?2003|2k3|net(?:web|standard|enterprise|business|datacenter))/i,
    'Windows XP or 2003',
  ],
  [
    /win(?:dows)?[ _/-]?(?:vista|longhorn|(?:server ?)?2008(?!.?r2)|2k8(?!r2))/i,
    'Windows Vista or 2008',
  ],
  // `CentOS 4/5/6/7` is a name that vSphere gives to all of them.
  [
    /(?:rhel|red ?hat (?:enterprise )?linux|centos|oracleLinux)[ _/-]?[34](?![0-9/])/i,
    'an Enterprise Linux before 5',
  ],
  [/(?:sles|suse linux(?: enterprise(?: server)?)?)[ _/-]?9(?![0-9])/i, 'SUSE Linux 9'],
  [/debian(?: gnu\/linux)?[ _/-]?[45](?![0-9])/i, 'a Debian before 6'],
  [/other24x|linux.?2\.4/i, 'a Linux with kernel 2.4'],
];

const nameIn = (list: readonly [RegExp, string][], text: string): string | undefined =>
  list.find(([pattern]) => pattern.test(text))?.[1];

/** Why no conversion is to be hoped for, as a name of the system; undefined if it is. */
export function unconvertible({ guestOs, guestFamily, arch }: Guest): string | undefined {
  if (!/^(?:x86_64|i[3-6]86|x86|)$/.test(arch)) return `a system for ${arch}`;
  return guestFamily === 'linux' ? undefined : nameIn(strange, guestOs);
}

/** The name of a system that is past its time; undefined if it is not. */
export const outdated = ({ guestOs }: Guest): string | undefined => nameIn(old, guestOs);
