/**
 * What a failed conversion means. virt-v2v only ever exits with 1, so its words decide: first its own `error:` line,
 * and where that names a symptom only (the appliance did not start), what was said before it.
 */
import { needsOperator, permanent, transient } from '../domain/errors.ts';
import type { FaultOptions, VmFerryError } from '../domain/errors.ts';

interface Meaning {
  /** Matched against the error's text, line breaks turned into spaces. */
  pattern: RegExp;
  /** Matched against the whole log; for symptoms whose cause stands above them. */
  whereLogSays?: RegExp;
  make: (options: FaultOptions) => VmFerryError;
  code: string;
  what: string;
  remedy: string;
}

const retry = 'then `vmferry retry`: nothing is copied again.';

/** The first that matches counts: causes before the symptoms that they show by. */
const meanings: readonly Meaning[] = [
  {
    pattern:
      /Windows Hibernation or Fast Restart|The NTFS partition is in an unsafe state|hibernated/i,
    make: needsOperator,
    code: 'guest-hibernated',
    what: 'its Windows file system was left hibernated or by fast startup',
    remedy:
      'Start it at the source, switch fast startup off there (powercfg /h off), shut it down, and move it again.',
  },
  {
    pattern: /mounted read-only, even though we asked/,
    make: needsOperator,
    code: 'guest-file-system-dirty',
    what: 'a file system of the guest was not cleanly unmounted',
    remedy:
      'Start it at the source, let it check its disks, shut it down in order, and move it again.',
  },
  {
    pattern:
      /could not find key to open LUKS encrypted|cryptsetup_open|wrong passphrase|No key available with this passphrase/i,
    make: needsOperator,
    code: 'guest-disk-encrypted',
    what: 'a disk inside the guest is encrypted, and no key given opens it',
    remedy: `Name the key of that device in the plan (a reference, never the key itself), ${retry}`,
  },
  {
    pattern: /not enough (free space|available inodes) for conversion on filesystem/,
    make: needsOperator,
    code: 'guest-file-system-full',
    what: 'a file system inside the guest has no room for the conversion',
    remedy: 'Make room there at the source (see the text above for how much), and move it again.',
  },
  {
    pattern: /insufficient free space in the conversion server temporary directory/,
    make: needsOperator,
    code: 'conversion-host-full',
    what: 'the conversion host has no room for temporary files',
    remedy: `Make room on the file system of the conversion's folder, ${retry}`,
  },
  {
    pattern: /./,
    whereLogSays: /No space left on device|ENOSPC|Disk quota exceeded/,
    make: needsOperator,
    code: 'conversion-host-full',
    what: 'the conversion host ran out of room',
    remedy: `Make room on the file system of the conversion's folder, ${retry}`,
  },
  {
    pattern: /multi-boot operating systems are not supported/,
    make: permanent,
    code: 'guest-has-several-systems',
    what: 'several operating systems are installed in it',
    remedy: 'Name the root device to convert in the plan, or move it without conversion.',
  },
  {
    pattern:
      /could not detect the source guest|no operating system was found|No root device found|root device \S+ not found/,
    make: permanent,
    code: 'no-operating-system',
    what: 'no operating system was found on its disks',
    remedy:
      'If a boot disk was left out of the plan, add it. If a disk is encrypted, name its key. Else move it without conversion.',
  },
  {
    pattern: /this is not an installed operating system/,
    make: permanent,
    code: 'guest-not-installed',
    what: 'it is an installer or a live system, not an installed one',
    remedy: 'Move it without conversion.',
  },
  {
    pattern:
      /unable to convert this guest type|only Xen kernels are installed|package database failed for this Linux|unable to rebuild initrd|no installed kernel packages were found/,
    make: permanent,
    code: 'guest-unsupported',
    what: 'virt-v2v cannot convert this guest',
    remedy:
      'Move it without conversion (emulated devices), or put virtio drivers into it at the source.',
  },
  {
    pattern: /./,
    whereLogSays: /Cannot allocate memory|cannot set up guest memory|std::bad_alloc|Out of memory/i,
    make: transient,
    code: 'conversion-host-out-of-memory',
    what: 'the conversion host has too little free memory (2 GiB for each conversion)',
    remedy: 'It is tried again. If it stays so, convert fewer at a time or choose another host.',
  },
  {
    pattern:
      /guestfs_launch failed|appliance|supermin|child process died unexpectedly|libguestfs error: .*launch/i,
    make: needsOperator,
    code: 'conversion-appliance-failed',
    what: "libguestfs' appliance did not start on the conversion host",
    remedy: `Run libguestfs-test-tool there. A kernel in /boot and its modules are needed; where KVM does not work, emulation has to be chosen. Mend it, ${retry}`,
  },
  {
    pattern: /nbdkit|qemu-nbd did not start up/,
    make: needsOperator,
    code: 'conversion-tools-incomplete',
    what: 'a program that virt-v2v needs is missing or does not work',
    remedy: `Install it on the conversion host, ${retry}`,
  },
];

/** As long as a message may be that crosses Temporal's history; the log has the rest. */
const maxQuoteLength = 600;

/**
 * The tool's first true error: what follows the first `<program>: error:`, without its plea to report bugs.
 * Empty if there is none.
 */
export function firstErrorOf(log: string): string {
  // The message about keys has no `error:` of its own, as it comes from the C part; nor have those of guestfish.
  for (const start of [
    /^virt-[\w-]+: error: /m,
    /^virt-[\w-]+: (?=could not find key )/m,
    /^guestfish: /m,
    /^(?=libguestfs: error: |Fatal error: )/m,
  ]) {
    const found = start.exec(log);
    if (found === null) continue;
    const text = log.slice(found.index + found[0].length);
    const end = text.search(/\n\s*If reporting bugs|\nvirt-[\w-]+: /);
    return (end === -1 ? text : text.slice(0, end)).trim();
  }
  return '';
}

export interface FailedConversion {
  /** Name of the VM, for people. */
  vm: string;
  /** What the tool wrote to its standard output and error: the end of it is enough. */
  log: string;
  /** Where the whole log is. */
  logPath: string;
  /** Exit status; null if a signal ended it. */
  status: number | null;
}

/** Makes the error that a person gets. The tool's own words are quoted, up to a bound. */
export function conversionFault({ vm, log, logPath, status }: FailedConversion): VmFerryError {
  const said = firstErrorOf(log);
  const flat = said.replace(/\s+/g, ' ');
  const meaning = meanings.find(
    ({ pattern, whereLogSays }) => pattern.test(flat) && (whereLogSays?.test(log) ?? true),
  );
  const quote = flat.length > maxQuoteLength ? `${flat.slice(0, maxQuoteLength)}...` : flat;
  if (meaning !== undefined) {
    const { make, code, what, remedy } = meaning;
    const message = `converting ${vm}: ${what}. The tool said: "${quote}". Log: ${logPath}`;
    return make({ code, message, remedy });
  }
  if (said === '') {
    return transient({
      code: 'conversion-interrupted',
      message: `converting ${vm}: the tool ended ${status === null ? 'by a signal' : `with ${status}`} and named no error. Log: ${logPath}`,
      remedy:
        'It is tried again from the copy. If it stays so, look at the log and at the memory of the conversion host.',
    });
  }
  return permanent({
    code: 'conversion-failed',
    message: `converting ${vm}: "${quote}". Log: ${logPath}`,
    remedy: 'Read the log. The copy is kept: convert again, or move it without conversion.',
  });
}

/** Something that went otherwise than one would want, though the conversion worked. */
export interface ConversionWarning {
  code: string;
  message: string;
  remedy: string;
}

const maxWarnings = 20;

/** What the tool warned of on its way. */
export function warningsOf(log: string): ConversionWarning[] {
  const found = log.matchAll(/^virt-[\w-]+: warning: ([^]*?)(?=\n\[|\nvirt-|\n*$(?![^]))/gm);
  return [...found]
    .slice(0, maxWarnings)
    .map(([, text = '']) => warningOf(text.replace(/\s+/g, ' ').trim()));
}

function warningOf(text: string): ConversionWarning {
  const message = text.slice(0, maxQuoteLength);
  if (
    /no virtio (?:block device |network )?drivers? (?:available )?for this version of Windows/.test(
      text,
    )
  ) {
    return {
      code: 'virtio-drivers-missing',
      message,
      remedy:
        'Name a folder or an ISO of virtio-win that has drivers for this Windows, then convert again; as it is, it runs with emulated devices.',
    };
  }
  return { code: 'conversion-warning', message, remedy: 'Look at it once the guest has started.' };
}

/** Whether the tool says that the guest has virtio drivers now; undefined if it says nothing of it. */
export function virtioInstalled(log: string): boolean | undefined {
  if (/^virt-[\w-]+: This guest has virtio drivers installed/m.test(log)) return true;
  return /^virt-[\w-]+: This guest does not have virtio drivers/m.test(log) ? false : undefined;
}
