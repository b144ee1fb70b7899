/** The manual of the commands about hosts, processes and this machine. */
import { ExitCode } from '../exit-code.ts';
import type { Manual } from './manual.ts';
import { asking, local } from './manual.ts';

const processCodes = [ExitCode.done, ExitCode.failed, ExitCode.refused, ExitCode.unreachable];

const worker = (when: string, example: string, effect: string): Manual => ({
  when: `${when} It writes its log to stderr, one JSON object a line.`,
  examples: [[example, effect]],
  codes: processCodes,
  json: [],
  configured: true,
});

const stateFolder = [
  '/var/lib/vmferry/ledger',
  'who may run which VM, by `host.stateDir`',
] as const;

export const fleetManuals: Readonly<Record<string, Manual>> = {
  vms: {
    when: 'Use it to see which VMs there are, whether they run, and what the guard of their host says of them; with --provider, which VMs of a foreign platform `vmferry v2v` can bring.',
    examples: [
      ['vmferry vms', 'of all hosts that are online'],
      ['vmferry vms --host alpha -o json', 'of one host, as data'],
      ['vmferry vms --provider vcenter', 'of a foreign platform'],
    ],
    codes: asking,
    json: [
      ['the list', 'vms'],
      ['with --provider', 'foreign-vms'],
    ],
    configured: true,
  },
  'hosts list': {
    when: 'Use it to see which hosts there are, whether they take VMs, and how busy they are. Only --facts asks the hosts themselves.',
    examples: [
      ['vmferry hosts', 'as they are remembered'],
      ['vmferry hosts --facts', 'also their guard, versions, memory and pools, read now'],
    ],
    codes: asking,
    json: [['the list', 'hosts']],
    configured: true,
  },
  'hosts show': {
    when: 'Use it to see why a move waits for a host: its limits, who has its places, and what its worker last told.',
    examples: [['vmferry hosts show beta', 'all that is remembered of it']],
    codes: asking,
    json: [['the host', 'host']],
    configured: true,
  },
  'hosts enable': {
    when: 'Use it when a host may take VMs again.',
    examples: [['vmferry hosts enable beta', 'it takes VMs']],
    codes: asking,
    json: [['what is remembered of it', 'host-state']],
    configured: true,
  },
  'hosts disable': {
    when: 'Use it before work on a host: no new move goes there. Moves under way go on, and VMs can still leave it; `vmferry drain` takes them away.',
    examples: [['vmferry hosts disable beta', 'it takes no new moves']],
    codes: asking,
    json: [['what is remembered of it', 'host-state']],
    configured: true,
  },
  'hosts set': {
    when: 'Use it to label hosts for placement, and to change at run time what moves may take of them. docs/hosts.md says what each limit means.',
    examples: [
      ['vmferry hosts set beta --label disk=nvme --remove-label old', 'labels'],
      ['vmferry hosts set beta --moves-in 4 --bandwidth-down 2Gbit/s', 'limits, at once'],
      ['vmferry hosts set beta --bandwidth-down 0', 'no cap on what comes to it'],
    ],
    codes: asking,
    json: [['what is remembered of it', 'host-state']],
    configured: true,
  },
  versions: {
    when: 'Use it in an upgrade: a move ends under the version of the control worker that it began with, and needs a worker of it until it is over.',
    examples: [['vmferry versions', 'which versions still have moves']],
    codes: asking,
    json: [['the versions', 'versions']],
    configured: true,
  },
  doctor: {
    when: 'Use it after installing, and whenever something does not work. It touches nothing.',
    examples: [['vmferry doctor', 'look at everything']],
    codes: [ExitCode.done, ExitCode.failed],
    json: [['the findings', 'findings']],
    configured: true,
  },
  'guard show': {
    when: 'Use it on a host to see which VMs it may start, and why not. It needs no Temporal, worker or libvirt.',
    examples: [['vmferry guard show', 'the ledger of this host']],
    codes: local,
    json: [['the ledger', 'ledger']],
    files: [stateFolder],
    configured: true,
  },
  'guard claim': {
    when: 'Use it as the last way out, when a move cannot be ended any more and you have made sure that no other copy runs.',
    examples: [
      ['vmferry guard claim UUID --reason "beta burnt down"', 'this host may start the VM again'],
    ],
    codes: local,
    json: [['the entry as it is now', 'ledger-entry']],
    files: [stateFolder, ['/var/lib/vmferry/audit.log', 'who claimed what, and why']],
    configured: true,
  },
  'pki init': {
    when: 'Use it once a fleet, on a machine that is not reached from outside.',
    examples: [['vmferry pki init', 'make the authority']],
    codes: local,
    json: [['its files', 'authority']],
    configured: false,
  },
  'pki issue': {
    when: 'Use it for each host, control worker and person.',
    examples: [['vmferry pki issue alpha --address 198.51.100.11', 'for a host']],
    codes: local,
    json: [['the certificate and its bundle', 'certificate']],
    configured: false,
  },
  'pki renew': {
    when: 'Use it before a certificate ends; `vmferry doctor` tells.',
    examples: [['vmferry pki renew alpha', 'a new certificate over the same key']],
    codes: local,
    json: [['the certificate and its bundle', 'certificate']],
    configured: false,
  },
  'pki revoke': {
    when: 'Use it when a key may be in other hands.',
    examples: [['vmferry pki revoke alpha --reason "disk stolen"', 'it counts no more']],
    codes: local,
    json: [['the certificate', 'certificate']],
    configured: false,
  },
  'pki list': {
    when: 'Use it to see what was signed, and until when it is good.',
    examples: [['vmferry pki list', 'all certificates']],
    codes: local,
    json: [['the list', 'certificates']],
    configured: false,
  },
  'pki install': {
    when: 'Use it on a host, with the folder that `issue` or `renew` made.',
    examples: [['vmferry pki install ./alpha', 'put it where QEMU and libvirt look']],
    codes: local,
    json: [['what was changed', 'certificates-installed']],
    configured: false,
  },
  control: worker(
    'Use it for the workflows, on one or more machines.',
    'vmferry control',
    'run it',
  ),
  host: worker('Use it as root on each KVM host.', 'vmferry host', 'run it'),
  'codec-server': worker(
    "Use it where people look at moves in Temporal's UI.",
    'vmferry codec-server',
    'run it',
  ),
  'config check': {
    when: 'Use it before a process is restarted with a changed file. It opens no connection and reads no secret.',
    examples: [
      ['vmferry config check', 'the file that would be used'],
      ['vmferry config check new.yaml', 'another one'],
    ],
    codes: [ExitCode.done],
    json: [['what was found', 'config-check']],
    configured: true,
  },
  'config show': {
    when: 'Use it to see the values in effect, defaults included. References to secrets are shown, secrets never.',
    examples: [['vmferry config show', 'in the form of the file']],
    codes: [ExitCode.done],
    json: [['the values', 'config-shown']],
    configured: true,
  },
  'config schema': {
    when: 'Use it for an editor that completes and checks the file.',
    examples: [['vmferry config schema > vmferry-config.schema.json', 'keep it beside the file']],
    codes: [ExitCode.done],
    json: [],
    configured: false,
  },
  completion: {
    when: 'Use it once a shell. Names of hosts and VMs are asked for as you press Tab, for two seconds at most.',
    examples: [
      ['source <(vmferry completion bash)', 'in ~/.bashrc'],
      ['source <(vmferry completion zsh)', 'in ~/.zshrc, after compinit'],
      ['vmferry completion fish | source', 'in ~/.config/fish/config.fish'],
    ],
    codes: [ExitCode.done],
    json: [],
    configured: false,
  },
};

const lab = (when: string, example: string, json: Manual['json'] = []): Manual => ({
  when,
  examples: [[example, 'as it says']],
  codes: local,
  json,
  files: [['.vmferry/lab', 'the lab, where neither --dir nor $VMFERRY_LAB_DIR names another']],
  configured: false,
});

export const labManuals: Readonly<Record<string, Manual>> = {
  'lab up': lab('Use it to try vmferry without any host.', 'vmferry lab up', [
    ['the hosts', 'lab-status'],
  ]),
  'lab down': lab('Use it to take all of it away again.', 'vmferry lab down', [
    ['where it was', 'lab-gone'],
  ]),
  'lab status': lab('Use it to see which hosts and VMs the lab has.', 'vmferry lab status', [
    ['the hosts', 'lab-status'],
  ]),
  'lab exec': lab('Use it to look around in a host.', 'vmferry lab exec alpha -- virsh list --all'),
  'lab console': lab('Use it to see what a guest says.', 'vmferry lab console alpha demo --follow'),
  'lab check': lab('Use it before `lab up`.', 'vmferry lab check', [
    ['what is missing', 'lab-check'],
  ]),
};
