import { liveOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

type Code =
  'live-port-unreachable' | 'live-credentials' | 'live-credentials-unread' | 'live-ports-filtered';

/** What came of going to the target's libvirtd as the source's own would. */
export const liveCredentials: Rule<SourceView, Code> = {
  modes: liveOnly,
  outcomes: {
    'live-port-unreachable': {
      level: 'critical',
      meaning: 'The source gets no answer at the target’s libvirtd (TLS, port 16514).',
      remedy:
        'Let libvirtd on the target listen with TLS (libvirtd-tls.socket), and open port 16514 there for the source.',
    },
    'live-credentials': {
      level: 'critical',
      meaning: 'One libvirtd does not take the other’s certificate, or the source has none.',
      remedy:
        'Give both hosts certificates of one CA for libvirt: `vmferry pki install`. The target’s has to name the address that the source calls.',
    },
    'live-credentials-unread': {
      level: 'warning',
      meaning:
        'The worker of the source could not read libvirt’s client certificate, so nobody tried it.',
      remedy:
        'Let the worker read /etc/pki/libvirt, or try by hand: virsh -c qemu+tls://TARGET/system list.',
    },
    'live-ports-filtered': {
      level: 'warning',
      meaning:
        'Something on the way swallows what the source sends to port 49152 of the target, the first that a migration gets.',
      remedy:
        'Open ports 49152 to 49215 of the target for the source, or those that its qemu.conf names.',
    },
  },
  judge: ({ vm, probe }) => {
    if (probe === undefined) return [];
    const { address, libvirtd, detail, portsFiltered } = probe;
    switch (libvirtd) {
      case 'unreachable':
        return [
          {
            code: 'live-port-unreachable',
            message: `${vm.host} cannot reach libvirtd at ${address}: ${detail}`,
          },
        ];
      case 'refused':
        return [
          {
            code: 'live-credentials',
            message: `libvirtd of ${vm.host} would not be let in at ${address}: ${detail}`,
          },
        ];
      case 'untried':
        return [
          {
            code: 'live-credentials-unread',
            message: `nobody could try the certificate of libvirtd on ${vm.host} at ${address}: ${detail}`,
          },
        ];
      case 'ready':
        return portsFiltered
          ? [
              {
                code: 'live-ports-filtered',
                message: `${vm.host} gets no answer at port 49152 of ${address}, not even a refusal`,
              },
            ]
          : [];
    }
  },
};
