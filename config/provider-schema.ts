/**
 * The sections of a conversion host: the foreign platforms that VMs are imported from (`host.providers`), and what
 * imports may take of this host (`host.conversion`). The options are those of `platforms/vsphere`, `platforms/remote-kvm`
 * and `platforms/ova`.
 */
import { z } from 'zod';
import { absolutePath, byteRate, name, nameForm, reference, says } from './fields.ts';

const serverForm = 'HOST or HOST:PORT, an IPv6 address in brackets';
/** A server whose port may be the usual one. */
const server = z
  .string(says(serverForm))
  .regex(
    /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?$/,
    says(serverForm),
  )
  .refine((text) => Number(/(?<=[^:]):(\d+)$/.exec(text)?.[1] ?? 0) <= 65_535, says(serverForm));

const text = (what: string) =>
  z
    .string(says(what))
    .min(1, says(what))
    .max(256, says(what))
    // A line's end would smuggle a second header or command.
    .regex(/^[^\p{Cc}]*$/u, says(what));

const wholeForm = (least: number, most: number): string =>
  `a whole number from ${least} to ${most.toLocaleString('en')}`;
const whole = (least: number, most: number) =>
  z
    .int(says(wholeForm(least, most)))
    .min(least, says(wholeForm(least, most)))
    .max(most, says(wholeForm(least, most)));

const thumbprintForm = 'a SHA-1 or SHA-256 thumbprint: 40 or 64 hex digits, with or without colons';
const thumbprint = z
  .string(says(thumbprintForm))
  .regex(
    /^([0-9A-Fa-f]{2}:?){19}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/,
    says(thumbprintForm),
  );

const hostKeyForm = 'a fingerprint as `ssh-keygen -lf` prints it: SHA256: and 43 characters';
const hostKey = z
  .string(says(hostKeyForm))
  .regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/, says(hostKeyForm));

const user = (example: string) =>
  text('a user’s name').meta({ description: 'User to log in as.', examples: [example] });
const password = reference.meta({
  description: 'Password, by reference.',
  examples: ['file:/etc/vmferry/vcenter.password'],
});

const httpsLogin = {
  address: server.meta({
    description: 'HOST or HOST:PORT that answers HTTPS; 443 if no port is named.',
    examples: ['vcenter.example'],
  }),
  user: user('vmferry@vsphere.local'),
  password,
  ca: absolutePath.optional().meta({
    description: 'PEM file of the authority that signed its certificate.',
    examples: ['/etc/vmferry/tls/vcenter-ca.pem'],
  }),
  thumbprint: thumbprint.optional().meta({
    description: 'SHA-256 (or SHA-1) of its certificate, pinned instead of an authority.',
    examples: [
      'AF:13:B2:02:67:A9:0D:37:36:2B:C9:E3:F7:C3:CC:8D:77:3A:15:C7:5A:03:66:A7:DF:19:C8:D3:7B:14:A5:0C',
    ],
  }),
  insecure: z.literal(true, says('`true`, written out, or no such key')).optional().meta({
    description:
      'Takes any certificate: whoever is in between reads the password and the disks. For tries only.',
  }),
};

interface Trust {
  ca?: string | undefined;
  thumbprint?: string | undefined;
  insecure?: true | undefined;
}
const saysWhomToTrust = ({ ca, thumbprint: pinned, insecure }: Trust): boolean =>
  [ca, pinned, insecure].filter((one) => one !== undefined).length === 1;
const trustForm = 'exactly one of `ca`, `thumbprint` and `insecure: true`';

const sshLogin = {
  address: server.meta({
    description: 'HOST or HOST:PORT of its SSH server; 22 if no port is named.',
    examples: ['kvm-old.example'],
  }),
  user: user('root'),
  password: password
    .optional()
    .meta({ description: 'Password, by reference.', examples: ['file:/etc/vmferry/old.password'] }),
  key: reference.optional().meta({
    description: 'Private key in OpenSSH or PEM form, by reference.',
    examples: ['file:/etc/vmferry/old.key'],
  }),
  passphrase: reference.optional().meta({
    description: 'Passphrase of `key`, by reference.',
    examples: ['file:/etc/vmferry/old.passphrase'],
  }),
  agent: absolutePath.optional().meta({
    description: 'Socket of an SSH agent that has the key.',
    examples: ['/run/vmferry/agent.sock'],
  }),
  hostKey: z.union([hostKey, z.array(hostKey).min(1).max(8)], says(hostKeyForm)).meta({
    description:
      'Fingerprint of its host key, pinned, as `ssh-keygen -lf` prints it; a list while the host changes it.',
    examples: ['SHA256:ZLOJTzCVd1wKk5Qh1hEBw6Tyl8nkmPEpR8ZHtz7qn4U'],
  }),
};

interface WaysIn {
  password?: string | undefined;
  key?: string | undefined;
  passphrase?: string | undefined;
  agent?: string | undefined;
}
const hasWayIn = ({ password: word, key, agent }: WaysIn): boolean =>
  [word, key, agent].some((one) => one !== undefined);
const wayForm = 'at least one of `password`, `key` and `agent`';
const passphraseFits = ({ key, passphrase }: WaysIn): boolean =>
  passphrase === undefined || key !== undefined;
const passphraseForm = 'a `key` beside `passphrase`';

/** One host that is logged in to by SSH. */
const sshHost = z
  .strictObject(sshLogin)
  .refine(hasWayIn, says(wayForm))
  .refine(passphraseFits, says(passphraseForm));

const vddk = z.strictObject({
  libdir: absolutePath.meta({
    description: 'Folder where VMware’s VDDK was unpacked. It is not part of vmferry.',
    examples: ['/opt/vmware-vix-disklib-distrib'],
  }),
  transports: z
    .string(says('transports of VDDK with colons between them'))
    .regex(/^[a-z]+(?::[a-z]+)*$/, says('transports of VDDK with colons between them'))
    .optional()
    .meta({
      description: 'Transports that VDDK may use; its own choice if absent.',
      examples: ['nbdssl:nbd'],
    }),
  nbdkit: absolutePath.optional().meta({
    description: 'nbdkit with the vddk plugin; the one of PATH if absent.',
    examples: ['/usr/sbin/nbdkit'],
  }),
});

interface Ways {
  dataPath: string;
  sshHosts: object;
  vddk?: object | undefined;
}
const hasItsWay = ({ dataPath, sshHosts, vddk: library }: Ways): boolean =>
  (dataPath !== 'ssh' || Object.keys(sshHosts).length > 0) &&
  (dataPath !== 'vddk' || library !== undefined);

const vsphere = z
  .strictObject({
    kind: z
      .literal('vsphere')
      .meta({ description: 'A vCenter or a single ESXi.', examples: ['vsphere'] }),
    ...httpsLogin,
    dataPath: z
      .enum(['auto', 'vddk', 'folder', 'ssh', 'nfc'], says('one of auto, vddk, folder, ssh, nfc'))
      .default('auto')
      .meta({
        description:
          'Way to the bytes of its disks, whose VMs have to be off: `folder` is HTTPS, `ssh` the ESXi of the VM by SSH, `vddk` VMware’s own library, `nfc` one stream a disk (ExportVm); `auto` is vddk if that is configured, else folder, or nfc where /folder refuses the user.',
        examples: ['auto'],
      }),
    hosts: z
      .record(
        text('the name of an ESXi host'),
        z
          .strictObject({ ...httpsLogin, user: user('root') })
          .refine(saysWhomToTrust, says(trustForm)),
      )
      .default({})
      .meta({
        description:
          'ESXi hosts that disks are read from directly, by the name that the vCenter has for them. Others are read through the vCenter.',
        examples: [{}],
      }),
    sshHosts: z
      .record(text('the name of an ESXi host'), sshHost)
      .default({})
      .meta({
        description: 'For `ssh`: ESXi hosts by the name that the vCenter has for them.',
        examples: [{}],
      }),
    vddk: vddk.optional().meta({ description: 'VMware’s VDDK, where it is at hand.' }),
    parallelReads: whole(1, 32)
      .default(6)
      .meta({ description: 'Requests at a time for a disk.', examples: [6] }),
  })
  .refine(saysWhomToTrust, says(trustForm))
  .refine(hasItsWay, says('`sshHosts` beside dataPath ssh, `vddk` beside dataPath vddk'));

const kvm = z
  .strictObject({
    kind: z.literal('kvm').meta({
      description: 'A KVM host that is reached by SSH; nothing is installed there.',
      examples: ['kvm'],
    }),
    ...sshLogin,
    jump: z
      .array(sshHost, says('a list of hosts in between'))
      .max(3, says('at most 3 hosts in between'))
      .default([])
      .meta({
        description: 'Hosts in between, the one that is reached from here first.',
        examples: [[]],
      }),
    uri: z
      .string(says('a libvirt URI of that host'))
      .regex(/^[a-z+]+:\/\/\/[a-z]*$/, says('a libvirt URI of that host'))
      .default('qemu:///system')
      .meta({ description: 'The libvirt of that host.', examples: ['qemu:///system'] }),
    libvirtSocket: absolutePath.optional().meta({
      description: 'libvirt’s socket there; the usual places are tried if absent.',
      examples: ['/run/libvirt/libvirt-sock'],
    }),
    sasl: z
      .strictObject({ user: user('vmferry'), password })
      .optional()
      .meta({ description: 'For a libvirtd that asks for a log-in of its own.' }),
    dataPath: z
      .enum(['auto', 'nbd', 'sftp'], says('one of auto, nbd, sftp'))
      .default('auto')
      .meta({
        description:
          'Way to the disks of a VM that is off: qemu-nbd on that host, or SFTP for raw images; `auto` takes the first that works.',
        examples: ['auto'],
      }),
    connections: whole(1, 16)
      .default(4)
      .meta({ description: 'NBD connections for a disk.', examples: [4] }),
    scratchFolder: absolutePath.optional().meta({
      description:
        'Folder of that host for what a running guest overwrites during the copy; beside each image if absent.',
      examples: ['/var/tmp'],
    }),
  })
  .refine(hasWayIn, says(wayForm))
  .refine(passphraseFits, says(passphraseForm));

const ova = z.strictObject({
  kind: z.literal('ova').meta({ description: 'Files.', examples: ['ova'] }),
  folder: absolutePath.meta({
    description: 'Folder of OVA files and unpacked OVFs; nothing outside it is read.',
    examples: ['/srv/ova'],
  }),
});

/** Section `host.providers`: foreign platforms by the names that people call them. */
export const providers = z
  .record(
    name('the name of a provider'),
    z.discriminatedUnion(
      'kind',
      [vsphere, kvm, ova],
      says('a provider of kind vsphere, kvm or ova'),
    ),
    says(`providers by names of ${nameForm}`),
  )
  .default({})
  .meta({
    description:
      'Foreign platforms that VMs are imported from through this host, by name; each of `kind` vsphere, kvm or ova.',
    examples: [{}],
  });

const networkForm = 'a network: ADDRESS/BITS, as in 198.51.100.0/24';
const network = z.union(
  [z.cidrv4(says(networkForm)), z.cidrv6(says(networkForm))],
  says(networkForm),
);

const leastRate = 1000;
const mostRate = 4_000_000_000;
const conversionRate = byteRate.refine(
  (rate) => rate === 0 || (rate >= leastRate && rate <= mostRate),
  says('a rate from 8kbit/s to 32Gbit/s, or 0 for no limit'),
);

/** Section `host.conversion`. */
export const conversion = z
  .strictObject({
    cacheDir: absolutePath.optional().meta({
      description:
        'Folder for what imports copied until it is on its target; wants room for whole disks. Default: `import-cache` in `stateDir`.',
      examples: ['/var/lib/vmferry/import-cache'],
    }),
    cacheSeconds: whole(0, 31_536_000)
      .default(86_400)
      .meta({
        description:
          'How long a failed or cancelled import keeps what it copied, for the next try, where the import does not say.',
        examples: [86_400],
      }),
    network: network.optional().meta({
      description:
        'Network that imports go over, as ADDRESS/BITS: this host’s address there shows the cache to targets, reads disks of vSphere, and calls ESXi and KVM hosts. Default: `migrationAddress`, and what the routes say.',
      examples: ['198.51.100.0/24'],
    }),
    parallel: whole(1, 64)
      .default(10)
      .meta({
        description: 'Imports that are copied and converted at a time; others wait.',
        examples: [10],
      }),
    virtioWin: absolutePath.optional().meta({
      description: 'Folder or ISO of virtio-win, with the drivers that a Windows guest gets.',
      examples: ['/usr/share/virtio-win/virtio-win.iso'],
    }),
    program: absolutePath.optional().meta({
      description: 'virt-v2v-in-place, where it is not on the PATH.',
      examples: ['/usr/libexec/virt-v2v-in-place'],
    }),
    secrets: z
      .record(name('the name of a secret'), reference, says(`references by names of ${nameForm}`))
      .default({})
      .meta({
        description:
          'Passphrases of encrypted guests, by the names that `vmferry v2v --luks-key` says.',
        examples: [{ web: 'file:/etc/vmferry/web.luks' }],
      }),
    rehearsalChecks: z
      .record(
        name('the name of a check'),
        z
          .tuple([absolutePath], z.string().max(4096))
          .refine((words) => words.length <= 64, says('at most 64 words')),
        says(`programs by names of ${nameForm}`),
      )
      .default({})
      .meta({
        description:
          'Programs that tell by exit code 0 that a rehearsed guest came up, by the names that `--check command:NAME` says: a list of the program and its arguments, run without a shell. No request can name another one.',
        examples: [{ web: ['/usr/local/libexec/is-web-up', '--quick'] }],
      }),
    limits: z
      .strictObject({
        down: conversionRate.prefault(0).meta({
          description: 'Cap over all that imports read from their sources; 0 is none.',
          examples: ['1Gbit/s', 0],
        }),
        up: conversionRate.prefault(0).meta({
          description: 'Cap over all that imports send to their targets; 0 is none.',
          examples: ['1Gbit/s', 0],
        }),
      })
      .prefault({})
      .meta({ description: 'What imports may take of this host’s network.' }),
  })
  .prefault({})
  .meta({ description: 'For a host that imports VMs, a conversion host.' });
