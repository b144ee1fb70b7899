/** Errors of the SOAP client as a person sees them. */
import {
  cancelled,
  needsOperator,
  outcomeUnknown,
  permanent,
  transient,
  unsafe,
} from '../../domain/errors.ts';
import type { FaultOptions, VmFerryError } from '../../domain/errors.ts';
import { SoapError, SoapErrorKind, textOf } from '../../protocols/soap/index.ts';

export interface FaultPlace {
  /** What was being done, as a clause: `list the VMs`, `power off web (vm-42)`. */
  what: string;
  /** The vCenter or ESXi, `host:port`. */
  host: string;
  /** It changes something: if the answer is lost, nobody knows whether it did. */
  mutation?: boolean;
}

/** An error of the SOAP client as a person sees it; other errors pass unchanged. */
export function vsphereFault(place: FaultPlace, error: unknown): unknown {
  if (!(error instanceof SoapError)) return error;
  const { what, host } = place;
  const told = { message: `could not ${what}: ${error.message}`, host, cause: error };
  switch (error.kind) {
    case SoapErrorKind.unreachable:
      return unreachable(told);
    case SoapErrorKind.timeout:
    case SoapErrorKind.lost:
      return place.mutation === true ? lostAnswer(told) : unreachable(told);
    case SoapErrorKind.aborted:
      return cancelled({
        code: 'cancelled',
        message: `cancelled while it would ${what}`,
        remedy: 'Nothing to do.',
        host,
        cause: error,
      });
    case SoapErrorKind.thumbprintMismatch:
      return mismatch(host, error);
    case SoapErrorKind.untrusted: {
      const remedy =
        "Give the authority's certificate (`ca`) or the certificate's own thumbprint, and use the name that it is for.";
      return needsOperator({ code: 'tls-untrusted', remedy, ...told });
    }
    case SoapErrorKind.http:
      return httpFault(told, error.status ?? 0);
    case SoapErrorKind.malformed: {
      const remedy = 'Find out what listens there: its answers cannot be trusted.';
      return unsafe({ code: 'vsphere-protocol-broken', remedy, ...told });
    }
    case SoapErrorKind.invalid: {
      const remedy = 'Correct the address or the thumbprint of the provider.';
      return permanent({ code: 'vsphere-settings-invalid', remedy, ...told });
    }
    case SoapErrorKind.fault:
      return toldFault(place, error);
  }
}

type Told = Omit<FaultOptions, 'code' | 'remedy'>;

const unreachable = (told: Told): VmFerryError =>
  transient({
    code: 'source-unreachable',
    remedy:
      'It is tried again by itself; if it keeps failing, look at the network and the server there.',
    ...told,
  });

const lostAnswer = (told: Told): VmFerryError =>
  outcomeUnknown({
    code: 'vsphere-outcome-unknown',
    remedy: 'Nothing to do: what came of it is read back before it is tried again.',
    ...told,
  });

const mismatch = (host: string, error: SoapError): VmFerryError =>
  needsOperator({
    code: 'tls-thumbprint-mismatch',
    message:
      `${host} shows a certificate with the thumbprint ${error.seen ?? '(none)'}, ` +
      `but ${error.expected ?? '(none)'} is pinned; nothing was sent to it`,
    remedy:
      'If its certificate was replaced on purpose, pin the new thumbprint after comparing it at the server itself.',
    host,
    cause: error,
  });

function httpFault(told: Told, status: number): VmFerryError {
  if (status >= 500) return unreachable(told);
  const remedy =
    'See that the address is that of a vCenter or ESXi, and that its API is open to us.';
  return permanent({ code: 'vsphere-not-there', remedy, ...told });
}

/** Faults that mean the same in every call; a verb looks at its own before. */
function toldFault({ what, host }: FaultPlace, error: SoapError): VmFerryError {
  const told = { message: `could not ${what}: ${error.message}`, host, cause: error };
  const detail = error.fault?.detail;
  switch (error.fault?.type) {
    case 'InvalidLogin':
    case 'NoSubjectName':
    case 'PasswordExpired': {
      const remedy =
        'Correct the user or the password; it is not tried again, lest the account be locked.';
      return needsOperator({ code: 'vsphere-login-refused', remedy, ...told });
    }
    case 'NotAuthenticated': {
      const remedy =
        'It is tried again by itself; see whether somebody ends our sessions, or allows too few.';
      return transient({ code: 'vsphere-session-lost', remedy, ...told });
    }
    case 'NoPermission': {
      const privilege = textOf(detail, 'privilegeId').slice(0, 100);
      const remedy = `Give the user the privilege ${privilege || 'that is named'} on it, then resume.`;
      return needsOperator({ code: 'vsphere-no-permission', remedy, ...told });
    }
    case 'RestrictedVersion':
    case 'RestrictedByAdministrator': {
      const remedy =
        'A free ESXi licence has an API that only reads: go through a vCenter, or license the host.';
      return needsOperator({ code: 'vsphere-read-only', remedy, ...told });
    }
    case 'ManagedObjectNotFound': {
      const remedy = 'It was deleted or unregistered meanwhile: list the VMs again.';
      return permanent({ code: 'vm-not-found', remedy, ...told });
    }
    // By a lease of NFC, for one: that of a reader which was killed runs out.
    case 'MethodDisabled':
    case 'TaskInProgress':
    case 'HostCommunication':
    case 'HostNotConnected':
    case 'HostNotReachable':
    case 'Timedout': {
      const remedy =
        'It is tried again by itself; look at the running tasks and the state of the ESXi host.';
      return transient({ code: 'vsphere-busy', remedy, ...told });
    }
    case undefined:
    default: {
      const remedy = "Look at the task's error in vSphere; it says more.";
      return permanent({ code: 'vsphere-refused', remedy, ...told });
    }
  }
}
