/**
 * What virt-v2v says when it fails. `run`: taken from runs of virt-v2v-in-place 2.2.0 with libguestfs 1.48;
 * `source`: put together from the texts in the sources of virt-v2v 2.2.0 and libguestfs 1.48, in the shape of `run`.
 */
export interface FailureFixture {
  name: string;
  from: 'run' | 'source';
  code: string;
  /** Of the quoted error, its beginning. */
  first: string;
  log: string;
}

const plea = `

If reporting bugs, run virt-v2v-in-place with debugging enabled and include the complete output:

  virt-v2v-in-place -v -x [...]
`;
const opening = `[   0.0] Setting up the source: -i libvirtxml input.xml
[   2.3] Opening the source
[  37.2] Inspecting the source
`;
const failure = (text: string, before = opening): string =>
  `${before}virt-v2v-in-place: error: ${text}${plea}`;

export const failures: readonly FailureFixture[] = [
  {
    name: 'an empty disk',
    from: 'run',
    code: 'no-operating-system',
    first: 'inspection could not detect the source guest (or physical machine).',
    log: failure(`inspection could not detect the source guest (or physical machine).

Assuming that you are running virt-v2v/virt-p2v on a source which is supported (and not, for example, a blank disk), then this should not happen.

No root device found in this operating system image.`),
  },
  {
    name: 'a hibernated Windows',
    from: 'source',
    code: 'guest-hibernated',
    first: 'unable to mount the disk image for writing.',
    log: failure(`unable to mount the disk image for writing. This has probably happened because Windows Hibernation or Fast Restart is being used in this guest. You have to disable this (in the guest) in order to use virt-v2v.

Original error message: mount: /dev/sda2 on / (options: ''): mount: /sysroot: wrong fs type: Windows is hibernated, refused to mount.
The NTFS partition is in an unsafe state. Please resume and shutdown
Windows fully (no hibernation or fast restarting).`),
  },
  {
    name: 'an NTFS that fell back to reading only',
    from: 'source',
    code: 'guest-hibernated',
    first: 'filesystem was mounted read-only, even though we asked',
    log: failure(`filesystem was mounted read-only, even though we asked for it to be mounted read-write.  This usually means that the filesystem was not cleanly unmounted.  Possible causes include trying to convert a guest which is running, or using Windows Hibernation or Fast Restart.

Original error message: touch: open: /qgqo4lcy: Read-only file system`),
  },
  {
    name: 'a LUKS device without a key',
    from: 'source',
    code: 'guest-disk-encrypted',
    first: 'could not find key to open LUKS encrypted /dev/sda2.',
    log: `${opening}virt-v2v-in-place: could not find key to open LUKS encrypted /dev/sda2.

Try using --key on the command line.

Original error: cryptsetup_open: cryptsetup exited with status 2: No key available with this passphrase. (0)
`,
  },
  {
    name: 'a system that virt-v2v does not know',
    from: 'source',
    code: 'guest-unsupported',
    first: 'virt-v2v is unable to convert this guest type (freebsd/freebsd)',
    log: failure('virt-v2v is unable to convert this guest type (freebsd/freebsd)'),
  },
  {
    name: 'a guest without an initramfs tool',
    from: 'source',
    code: 'guest-unsupported',
    first: 'unable to rebuild initrd (/boot/initrd.img-6.1.0-1) because',
    log: failure(
      'unable to rebuild initrd (/boot/initrd.img-6.1.0-1) because update-initramfs was not found in the guest',
    ),
  },
  {
    name: 'no room in the guest',
    from: 'source',
    code: 'guest-file-system-full',
    first: 'not enough free space for conversion on filesystem ‘/boot’.',
    log: failure(
      'not enough free space for conversion on filesystem ‘/boot’.  12.0 MB free < 50 MB needed',
    ),
  },
  {
    name: 'no room on the host, seen before',
    from: 'source',
    code: 'conversion-host-full',
    first: 'insufficient free space in the conversion server',
    log: failure(
      `insufficient free space in the conversion server temporary directory /var/tmp (512.0M).

Either free up space in that directory, or set the LIBGUESTFS_CACHEDIR environment variable to point to another directory with more than 1GB of free space.

See also the virt-v2v(1) manual, section "Minimum free space check in the host".`,
      '',
    ),
  },
  {
    name: 'no room on the host, found out on the way',
    from: 'source',
    code: 'conversion-host-full',
    first: 'libguestfs error: tar_in: write error on directory: /',
    log: failure(
      'libguestfs error: tar_in: write error on directory: /: No space left on device',
      `${opening}qemu-nbd: disk.qcow2: No space left on device\n`,
    ),
  },
  {
    name: 'an appliance that did not start',
    from: 'source',
    code: 'conversion-appliance-failed',
    first: 'libguestfs error: guestfs_launch failed.',
    log: failure(
      `libguestfs error: guestfs_launch failed.
This usually means the libguestfs appliance failed to start or crashed.
Do:
  export LIBGUESTFS_DEBUG=1 LIBGUESTFS_TRACE=1
and run the command again.  For further information, read:
  http://libguestfs.org/guestfs-faq.1.html#debugging-libguestfs
You can also run 'libguestfs-test-tool' and post the *complete* output
into a bug report or message to the libguestfs mailing list.`,
      '[   0.0] Setting up the source: -i libvirtxml input.xml\n[   2.3] Opening the source\n',
    ),
  },
  {
    name: 'no kernel for the appliance',
    from: 'source',
    code: 'conversion-appliance-failed',
    first: 'libguestfs error: /usr/bin/supermin exited with error status 1.',
    log: failure(
      `libguestfs error: /usr/bin/supermin exited with error status 1.
To see full error messages you may need to enable debugging.`,
      'supermin: failed to find a suitable kernel (host_cpu=x86_64).\n',
    ),
  },
  {
    name: 'no memory for the appliance',
    from: 'source',
    code: 'conversion-host-out-of-memory',
    first: 'libguestfs error: guestfs_launch failed.',
    log: failure(
      'libguestfs error: guestfs_launch failed.\nThis usually means the libguestfs appliance failed to start or crashed.',
      "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory\n",
    ),
  },
  {
    name: 'several systems',
    from: 'source',
    code: 'guest-has-several-systems',
    first: 'multi-boot operating systems are not supported by virt-v2v.',
    log: failure(
      'multi-boot operating systems are not supported by virt-v2v. Use the --root option to change how virt-v2v handles this.',
    ),
  },
  {
    name: 'an installer',
    from: 'source',
    code: 'guest-not-installed',
    first: 'libguestfs thinks this is not an installed operating system',
    log: failure(
      'libguestfs thinks this is not an installed operating system (it might be, for example, an installer disk or live CD).  If this is wrong, it is probably a bug in libguestfs.  root=/dev/sda fmt=installer',
    ),
  },
  {
    name: 'an empty disk, as guestfish has it',
    from: 'source',
    code: 'no-operating-system',
    first: 'no operating system was found on this disk',
    log: `guestfish: no operating system was found on this disk

If using guestfish ‘-i’ option, remove this option and instead
use the commands ‘run’ followed by ‘list-filesystems’.
You can then mount filesystems you want by hand using the
‘mount’ or ‘mount-ro’ command.
`,
  },
  {
    name: 'something that nobody foresaw',
    from: 'source',
    code: 'conversion-failed',
    first: 'libguestfs error: aug_get: no matching node',
    log: failure('libguestfs error: aug_get: no matching node'),
  },
  {
    name: 'an end by a signal',
    from: 'run',
    code: 'conversion-interrupted',
    first: '',
    log: opening,
  },
];

/** From the sources of virt-v2v 2.2.0. */
export const driverWarning = `[  62.1] Converting Windows Server 2019 Standard to run on KVM
virt-v2v-in-place: warning: there are no virtio drivers available for this version of Windows (10.0 x86_64 Server win2k19).  virt-v2v looks for drivers in /usr/share/virtio-win

The guest will be configured to use slower emulated devices.
virt-v2v-in-place: This guest does not have virtio drivers installed.
[ 101.9] Mapping filesystem data to avoid copying unused and blank areas
virt-v2v-in-place: warning: fstrim on guest filesystem /dev/sda1 failed.  Usually you can ignore this message.
[ 108.0] Closing the overlay
`;

/** `virt-v2v-in-place --help`, 2.2.0 as Debian 12 has it, the part with options. */
export const helpOf220 = `virt-v2v-in-place: convert a guest to use KVM in-place

Note this program modifies the guest in-place with no backup.
Normally you should use virt-v2v.

virt-v2v -i libvirtxml guest-domain.xml

virt-v2v -i disk disk.img

Options:
  -b, --bridge <in:out>               Map bridge ‘in’ to ‘out’
  --color, --colors, --colour, --colours
                                      Use ANSI colour sequences even if not tty
  --help                              Display brief help
  -i <disk|libvirt|libvirtxml|ova|vmx>
                                      Set input mode (default: libvirt)
  -ic <uri>                           Libvirt URI
  -io <option[=value]>                Set option for input mode
  --key <SELECTOR>                    Specify a LUKS key
  --mac <mac:network|bridge|ip:out>   Map NIC to network or bridge or assign static IP
  --machine-readable[=format]         Make output machine readable
  -n, --network <in:out>              Map network ‘in’ to ‘out’
  --print-source                      Print source and stop
  --root <ask|... >                   How to choose root filesystem
  -V, --version                       Display version and exit
  -v, --verbose                       Enable libguestfs debugging messages
  -x                                  Enable tracing of libguestfs calls
`;
