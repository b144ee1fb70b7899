import type { MachineFacts, QemuTlsFile } from '../../../host.ts';
import { liveOnly } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { SourceView, TargetView } from '../../views.ts';

type Code = 'live-qemu-certificates';

const common = {
  modes: liveOnly,
  outcomes: {
    'live-qemu-certificates': {
      level: 'critical',
      meaning: 'QEMU on that host lacks the certificates with which memory crosses encrypted.',
      remedy:
        'Put them there: `vmferry pki install`; or name their folder as migrate_tls_x509_cert_dir in qemu.conf.',
    },
  },
} as const;

function judge(
  host: string,
  machine: MachineFacts | undefined,
  needed: readonly QemuTlsFile[],
): Finding<Code>[] {
  if (machine === undefined) return [];
  const { folder, missing } = machine.qemuTls;
  const lacking = needed.filter((file) => missing.includes(file));
  if (lacking.length === 0) return [];
  return [
    {
      code: 'live-qemu-certificates',
      message: `${host} has no ${lacking.join(', ')} in ${folder}, which QEMU needs for a live move`,
    },
  ];
}

/** The source shows a certificate as well: libvirt has the target ask for one unless it is told not to. */
export const qemuCertificatesOfSource: Rule<SourceView, Code> = {
  ...common,
  judge: ({ vm, machine }) =>
    judge(vm.host, machine, ['ca-cert.pem', 'client-cert.pem', 'client-key.pem']),
};

export const qemuCertificatesOfTarget: Rule<TargetView, Code> = {
  ...common,
  judge: ({ target, machine }) =>
    judge(target.name, machine, ['ca-cert.pem', 'server-cert.pem', 'server-key.pem']),
};
