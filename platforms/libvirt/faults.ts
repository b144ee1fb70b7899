/** What libvirt's errors mean for a move: one place that turns them into domain errors, host and remedy named. */
import {
  needsOperator,
  outcomeUnknown,
  permanent,
  transient,
  unsafe,
  VmFerryError,
} from '../../domain/errors.ts';
import type { FaultOptions } from '../../domain/errors.ts';
import { lacksMemory } from '../../domain/vm.ts';
import {
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  CertificateRejected,
  ConnectFailed,
  ConnectionLost,
  ErrorCode,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
} from '../../protocols/libvirt/index.ts';
import type { ErrorName } from '../../protocols/libvirt/index.ts';
import { XmlError } from './xml.ts';

type Make = (options: FaultOptions) => VmFerryError;
interface Meaning {
  make: Make;
  code: string;
  remedy: string;
}

const busy: Meaning = {
  make: transient,
  code: 'libvirt-busy',
  remedy:
    'It is tried again. If it stays so, see what libvirt does there: virsh list, virsh domjobinfo.',
};
const denied: Meaning = {
  make: needsOperator,
  code: 'libvirt-access-denied',
  remedy:
    'Let the worker of that host use libvirt (socket permissions, polkit, certificates), then `vmferry retry`.',
};
const refusedDefinition: Meaning = {
  make: permanent,
  code: 'definition-refused',
  remedy:
    'Change what libvirt names in the definition of the VM, or choose a host that supports it.',
};

/** Errors that mean the same in whatever call they come. */
const meanings: Partial<Record<ErrorName, Meaning>> = {
  NO_DOMAIN: {
    make: permanent,
    code: 'vm-not-found',
    remedy: 'List what is there with `vmferry vms`; names are case-sensitive.',
  },
  HOOK_SCRIPT_FAILED: {
    make: unsafe,
    code: 'start-refused-by-guard',
    remedy:
      'The guard keeps a second copy from starting; see `vmferry doctor` on that host for who owns the VM.',
  },
  NO_STORAGE_POOL: {
    make: permanent,
    code: 'pool-missing',
    remedy: 'Name another pool with --pool, or define and start it: virsh pool-list --all.',
  },
  NO_STORAGE_VOL: {
    make: permanent,
    code: 'volume-missing',
    remedy: 'Look at the pool: virsh vol-list POOL.',
  },
  STORAGE_VOL_EXIST: {
    make: permanent,
    code: 'volume-exists',
    remedy: 'If nothing needs it, delete it there; else name another pool with --pool.',
  },
  DOM_EXIST: {
    make: permanent,
    code: 'vm-exists',
    remedy: 'Rename or undefine the VM that is in the way, then start the move again.',
  },
  XML_ERROR: refusedDefinition,
  XML_DETAIL: refusedDefinition,
  XML_INVALID_SCHEMA: refusedDefinition,
  CONFIG_UNSUPPORTED: refusedDefinition,
  OS_TYPE: refusedDefinition,
  CPU_INCOMPATIBLE: refusedDefinition,
  OPERATION_TIMEOUT: busy,
  RESOURCE_BUSY: busy,
  NO_MEMORY: busy,
  AGENT_UNRESPONSIVE: busy,
  AUTH_FAILED: denied,
  AUTH_CANCELLED: denied,
  AUTH_UNAVAILABLE: denied,
  ACCESS_DENIED: denied,
  OPERATION_DENIED: denied,
  NO_SUPPORT: {
    make: permanent,
    code: 'libvirt-unsupported',
    remedy: 'Update libvirt on that host; vmferry needs 8.0 or newer.',
  },
  // The VM changed between look and act; a new look decides.
  OPERATION_INVALID: { ...busy, code: 'vm-state-changed' },
};

const failed: Meaning = {
  make: needsOperator,
  code: 'libvirt-failed',
  remedy: 'Mend what libvirt names (its log on that host says more), then `vmferry retry`.',
};

/** Meanings that only the words tell, whatever the error's number. */
function meaningOfWords(message: string): Meaning | undefined {
  if (/No space left on device|Disk quota exceeded/.test(message)) {
    return {
      make: needsOperator,
      code: 'target-disk-full',
      remedy: 'Free room in that pool, then `vmferry retry`.',
    };
  }
  // QEMU's word for memory that the kernel does not give, and that of pools of huge pages.
  if (/[Cc]annot allocate memory|backing store for guest RAM/.test(message)) {
    return {
      make: needsOperator,
      code: lacksMemory,
      remedy: 'Make memory free on that host, or give the VM less, then `vmferry retry`.',
    };
  }
  if (/Failed to get (?:shared )?".*" lock/.test(message)) {
    return {
      make: unsafe,
      code: 'disk-in-use',
      remedy:
        'Another process has a disk of the VM open: find it (fuser -v DISK) before anything starts.',
    };
  }
  return undefined;
}

/**
 * The domain error for whatever a use of libvirt threw; what is none of libvirt's comes back as it is.
 * A lost reply of a call that only reads is harmless, so it is `libvirt-unreachable`; of one that changes
 * something it is `libvirt-outcome-unknown`.
 */
export function faultOfLibvirt(error: unknown, host: string): unknown {
  if (error instanceof VmFerryError) return error;
  if (error instanceof CallAborted) return error.cause ?? error;
  if (error instanceof LibvirtError) return refusalOf(error, host);
  if (error instanceof ConnectionLost || error instanceof CallTimeout) return lossOf(error, host);
  if (error instanceof AuthenticationRequired || error instanceof CertificateRejected) {
    return denied.make({ ...denied, message: `${host}: ${error.message}`, host, cause: error });
  }
  if (error instanceof ConnectFailed) {
    const isDenied = codeOf(error.cause) === 'EACCES' || codeOf(error.cause) === 'EPERM';
    const { make, code, remedy } = isDenied ? denied : unreachable;
    return make({ code, remedy, message: `${host}: ${error.message}`, host, cause: error });
  }
  if (error instanceof TooManyCalls) {
    return busy.make({ ...busy, message: `${host}: ${error.message}`, host, cause: error });
  }
  if (error instanceof XmlError) {
    return permanent({
      code: 'definition-unusable',
      message: `a definition on ${host} cannot be used: ${error.message}`,
      remedy: 'Correct it with virsh edit on that host.',
      host,
      cause: error,
    });
  }
  if (error instanceof ProtocolError) {
    return permanent({
      code: 'libvirt-protocol',
      message: `${host} and vmferry do not understand each other: ${error.message}`,
      remedy: 'Report it with the version of libvirt on that host (virsh version).',
      host,
      cause: error,
    });
  }
  return error;
}

const unreachable: Meaning = {
  make: transient,
  code: 'libvirt-unreachable',
  remedy: 'It is tried again. See on that host: systemctl status libvirtd (or virtqemud).',
};

function refusalOf(error: LibvirtError, host: string): VmFerryError {
  const known = error.codeName === 'UNKNOWN' ? undefined : meanings[error.codeName];
  const meaning = meaningOfWords(error.message) ?? known ?? failed;
  const { make, code, remedy } = meaning;
  return make({
    code,
    remedy,
    message: `libvirt on ${host}: ${error.message}`,
    host,
    cause: error,
  });
}

function lossOf(error: ConnectionLost | CallTimeout, host: string): VmFerryError {
  const message = `libvirt on ${host}: ${error.message}`;
  if (!error.outcomeUnknown || onlyReads(error.procedure)) {
    return transient({ ...unreachable, message, host, cause: error });
  }
  return outcomeUnknown({
    code: 'libvirt-outcome-unknown',
    message,
    remedy: 'The state is read back before it is tried again; nothing to do.',
    host,
    cause: error,
  });
}

/** Whether a call changes nothing that could be done twice, by its name in the wire table. */
export const onlyReads = (procedure: string): boolean =>
  /^(?:Auth|Node)|^Connect(?!RegisterClose)|Get|Lookup|List|Has|Is(?:Active|Persistent)|Stats$|Refresh/.test(
    procedure,
  );

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;

/** Whether libvirt itself refused with that error. */
export const isRefusal = (error: unknown, name: ErrorName): boolean =>
  error instanceof LibvirtError && error.code === ErrorCode[name];
