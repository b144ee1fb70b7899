import { describe, expect, it } from 'vitest';
import { permanent } from '../../../domain/errors.ts';
import type { VmFerryError } from '../../../domain/errors.ts';
import { faultOfLibvirt, onlyReads } from '../../../platforms/libvirt/faults.ts';
import { XmlError } from '../../../platforms/libvirt/xml.ts';
import {
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  CertificateRejected,
  ConnectFailed,
  ConnectionLost,
  ErrorCode,
  LibvirtError,
  TooManyCalls,
  procedures,
} from '../../../protocols/libvirt/index.ts';
import type { ErrorName } from '../../../protocols/libvirt/index.ts';

const refusal = (name: ErrorName, message = 'libvirt’s own words'): LibvirtError =>
  new LibvirtError('DomainCreateWithFlags', {
    code: ErrorCode[name],
    domain: 10,
    message,
    level: 2,
    dom: undefined,
    string1: undefined,
    string2: undefined,
    string3: undefined,
    int1: 0,
    int2: 0,
    network: undefined,
  });
const fault = (error: unknown): VmFerryError => faultOfLibvirt(error, 'beta') as VmFerryError;
const summary = (error: unknown): string => {
  const { code, handling } = fault(error);
  return `${handling} ${code}`;
};
const lost = (procedure: string, outcomeUnknown: boolean): ConnectionLost =>
  new ConnectionLost({ procedure, outcomeUnknown }, { kind: 'peer', message: 'it hung up' });

describe('what libvirt refuses', () => {
  it.each<[ErrorName, string]>([
    ['NO_DOMAIN', 'permanent vm-not-found'],
    ['HOOK_SCRIPT_FAILED', 'unsafe start-refused-by-guard'],
    ['AUTH_FAILED', 'needs-operator libvirt-access-denied'],
    ['ACCESS_DENIED', 'needs-operator libvirt-access-denied'],
    ['NO_STORAGE_POOL', 'permanent pool-missing'],
    ['STORAGE_VOL_EXIST', 'permanent volume-exists'],
    ['RESOURCE_BUSY', 'transient libvirt-busy'],
    ['OPERATION_INVALID', 'transient vm-state-changed'],
    ['XML_ERROR', 'permanent definition-refused'],
    ['INTERNAL_ERROR', 'needs-operator libvirt-failed'],
  ])('%s is %s', (name, expected) => {
    expect(summary(refusal(name))).toBe(expected);
    const { message, remedy, host, cause } = fault(refusal(name));
    expect(message).toContain('libvirt’s own words');
    expect(message).toContain('beta');
    expect([host, remedy.endsWith('.') || remedy.endsWith('POOL.')]).toEqual(['beta', true]);
    expect(cause).toBeInstanceOf(LibvirtError);
  });

  it('is known by its words where its number says little', () => {
    expect(summary(refusal('SYSTEM_ERROR', 'cannot extend: No space left on device'))).toBe(
      'needs-operator target-disk-full',
    );
    const words = "cannot set up guest memory 'pc.ram': Cannot allocate memory";
    expect(summary(refusal('INTERNAL_ERROR', words))).toBe('needs-operator host-lacks-memory');
    expect(summary(refusal('INTERNAL_ERROR', 'qemu: Failed to get "write" lock'))).toBe(
      'unsafe disk-in-use',
    );
  });
});

describe('what was lost on the way', () => {
  it('is harmless for a look, and for a change that was not sent', () => {
    expect(summary(lost('DomainGetXMLDesc', true))).toBe('transient libvirt-unreachable');
    expect(summary(lost('DomainCreateWithFlags', false))).toBe('transient libvirt-unreachable');
  });

  it('is an unknown outcome for a change that was sent', () => {
    expect(summary(lost('DomainCreateWithFlags', true))).toBe(
      'outcome-unknown libvirt-outcome-unknown',
    );
    const timeout = new CallTimeout({ procedure: 'DomainUndefineFlags', outcomeUnknown: true }, 5);
    expect(summary(timeout)).toBe('outcome-unknown libvirt-outcome-unknown');
  });

  it('takes no call for a look that changes a VM, a volume, a pool or a secret', () => {
    const verbs =
      /(?:Create|Define|Undefine|Destroy|Shutdown|Delete|Resume|Suspend|Abort|Attach|Detach|Update|Begin|Build|Resize|Rename|Commit|Copy|Pull|Rebase|Perform|Prepare|Finish|Confirm|Reset|Fsfreeze|Fsthaw|Remove|SetValue|SetMetadata|SetAutostart|SetMax|SetSpeed)/;
    const changes = Object.keys(procedures).filter((name) => verbs.test(name));
    // A number, so that an empty list cannot pass.
    expect(changes.length).toBeGreaterThan(35);
    expect(
      changes.filter((name) => onlyReads(name) && !/Get(?:XMLDesc|JobInfo)$/.test(name)),
    ).toEqual([]);
    expect(onlyReads('DomainManagedSave')).toBe(false);
    expect(
      ['DomainGetState', 'StorageVolLookupByPath', 'ConnectListAllDomains'].every(onlyReads),
    ).toBe(true);
  });
});

describe('what never got through', () => {
  it('is unreachable, or denied where the socket says so', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(summary(new ConnectFailed('/run/x.sock', refused))).toBe(
      'transient libvirt-unreachable',
    );
    const forbidden = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    expect(summary(new ConnectFailed('/run/x.sock', forbidden))).toBe(
      'needs-operator libvirt-access-denied',
    );
    expect(summary(new AuthenticationRequired({ offered: ['sasl'] }))).toBe(
      'needs-operator libvirt-access-denied',
    );
    expect(summary(new CertificateRejected({ endpoint: 'beta', whose: 'client' }))).toBe(
      'needs-operator libvirt-access-denied',
    );
    expect(summary(new TooManyCalls('DomainGetState', 1000))).toBe('transient libvirt-busy');
  });
});

describe('what is none of libvirt’s', () => {
  it('comes back as it is', () => {
    const ours = permanent({ code: 'x', message: 'y', remedy: 'z' });
    const reason = new Error('the caller had enough');
    expect(faultOfLibvirt(ours, 'beta')).toBe(ours);
    expect(
      faultOfLibvirt(new CallAborted({ procedure: 'X', outcomeUnknown: true }, reason), 'beta'),
    ).toBe(reason);
    expect(faultOfLibvirt(reason, 'beta')).toBe(reason);
  });

  it('tells of a definition that cannot be used', () => {
    expect(summary(new XmlError('it has no UUID'))).toBe('permanent definition-unusable');
  });
});
