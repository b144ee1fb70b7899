/** The manual of the commands about other platforms. */
import { ExitCode } from '../exit-code.ts';
import type { Manual } from './manual.ts';
import { asking, following, local } from './manual.ts';

/** Of commands that begin an import for each VM. */
const manyImports: Manual['json'] = [
  ['how they rest or ended', 'v2v'],
  ['with --detach, without reports', 'v2v'],
  ['with --dry-run, or refused', 'v2v-plan'],
];

export const importManuals: Readonly<Record<string, Manual>> = {
  providers: {
    when: 'Use it to see from where VMs can be brought, by which hosts, and whether these platforms let them in. Providers stand under `host.providers` in the configuration of a conversion host. It ends with 1 if one does not answer.',
    examples: [
      ['vmferry providers', 'of all hosts'],
      ['vmferry providers alpha -o json', 'of one conversion host, as data'],
    ],
    codes: asking,
    json: [['the list', 'providers']],
    configured: true,
  },
  'conversion-hosts list': {
    when: 'Use it to see which hosts bring VMs from elsewhere, how busy they are, and how much room their caches have for the next import.',
    examples: [['vmferry conversion-hosts', 'all of them, those that were deleted too']],
    codes: asking,
    json: [['the list', 'conversion-hosts']],
    configured: true,
  },
  'conversion-hosts show': {
    when: 'Use it to see why a host was not chosen, what it lacks, and who changed what; with --usage, how full its disks were: each line the fullest of its time.',
    examples: [
      ['vmferry conversion-hosts show alpha', 'as it is now'],
      ['vmferry conversion-hosts show alpha --usage 7d', 'its disks over a week'],
    ],
    codes: asking,
    json: [
      ['the host', 'conversion-host'],
      ['with --usage', 'conversion-usage'],
    ],
    configured: true,
  },
  'conversion-hosts add': {
    when: 'Use it to give a host the role again that `delete` took from it. A host whose configuration names providers has it by itself.',
    examples: [['vmferry conversion-hosts add alpha', 'imports may go through it']],
    codes: asking,
    json: [['the host', 'conversion-host']],
    configured: true,
  },
  'conversion-hosts enable': {
    when: 'Use it when a host may take imports again.',
    examples: [['vmferry conversion-hosts enable alpha', 'it takes imports']],
    codes: asking,
    json: [['the host', 'conversion-host']],
    configured: true,
  },
  'conversion-hosts disable': {
    when: 'Use it before work on a conversion host: no new import begins there, and those under way go on.',
    examples: [['vmferry conversion-hosts disable alpha', 'it takes no new imports']],
    codes: asking,
    json: [['the host', 'conversion-host']],
    configured: true,
  },
  'conversion-hosts set': {
    when: 'Use it to change at run time what all imports of a conversion host take together. docs/v2v.md says how caps are shared.',
    examples: [
      ['vmferry conversion-hosts set alpha --cap-down 1Gbit/s', 'at once, in mid-copy too'],
      ['vmferry conversion-hosts set alpha --cap-down 0 --parallel 4', 'no cap, four at a time'],
    ],
    codes: asking,
    json: [['the host', 'conversion-host']],
    configured: true,
  },
  'conversion-hosts delete': {
    when: 'Use it to take the role from a host for good. Imports that run there are named, and cancelled after a yes; a script says --yes. It ends with 1 if one of them could not be called off any more.',
    examples: [['vmferry conversion-hosts delete alpha', 'no import goes through it']],
    codes: [...asking, ExitCode.cancelled],
    json: [['what became of its imports', 'conversion-host-deleted']],
    configured: true,
  },
  'save-ova': {
    when: 'Use it on a conversion host for an OVA that comes from elsewhere: v2v reads disks by position and more than once, which a pipe does not let it. A stream that brings nothing for ten minutes is given up, and 1 GiB is left to others.',
    examples: [
      [
        'curl -fsS https://files.example/shop.ova | vmferry save-ova shop.ova --provider ovas',
        'from a server',
      ],
      [
        'ssh alpha vmferry save-ova shop.ova --provider ovas < shop.ova',
        'from your own machine to the conversion host alpha',
      ],
    ],
    codes: [...local, ExitCode.cancelled],
    json: [['the file and its machines', 'saved-ova']],
    configured: true,
  },
  inspect: {
    when: 'Use it before a VM is brought: its disks and their keys, its networks as --map-network wants them, and what its platform and the rules have against the journey. `vmferry vms --provider` lists the VMs.',
    examples: [
      ['vmferry inspect --provider vcenter web', 'by its name'],
      ['vmferry inspect --provider ovas shop.ova', 'an OVA with one machine, by its file'],
    ],
    codes: asking,
    json: [['the VM', 'foreign-vm']],
    configured: true,
  },
  rehearse: {
    when: 'Use it days before a VM moves, to see whether it comes up once it is converted. It takes the options of v2v, so that what is seen is what will be defined. The source runs on or stays off; of a VM of vSphere that runs nothing can be read, that one has to be off. --check says what proves it: without it the guest agent, and a guest that only runs on stays unproved. A check that fails ends it with 1. What was copied is kept for the import itself.',
    examples: [
      [
        'vmferry rehearse --provider old-kvm mail --pool images --default-network default --check "console:login:"',
        'until its console asks who is there',
      ],
      [
        'vmferry v2v --provider old-kvm mail --pool images --default-network default --rehearse',
        'the same within an import, after its source was shut down',
      ],
    ],
    codes: following,
    json: manyImports,
    configured: true,
  },
  v2v: {
    when: 'Use it to bring VMs from VMware, from a KVM host outside the fleet or from OVA files. It shows what they will use of CPUs, memory, storage and addresses against what the target has, and begins after a yes; a script says --yes. Whatever speaks against one of them refuses all, before anything is touched. A source that runs is shut down first, unless --running says otherwise. Failed imports keep what they copied for a day (--keep-cache): `vmferry retry` does not copy it again. Ctrl-C leaves the view, not the imports. docs/v2v.md has the whole of it.',
    examples: [
      [
        'vmferry v2v --provider vcenter web --pool images --default-network default --dry-run',
        'only say what would happen',
      ],
      [
        'vmferry v2v --provider vcenter web db --to beta --map-network "VM Network=bridge:br0" --map-storage ds1=fast --pool images',
        'bring two, with maps',
      ],
      [
        'vmferry v2v --provider old-kvm mail --running leave --pool images --default-network default',
        'a clone of a VM that runs on',
      ],
      [
        'vmferry v2v --provider vcenter web --default-network default --pool images --addresses 4000@198.51.100.30/24 --gateways 4000@198.51.100.1',
        'with another address; `vmferry inspect` shows the keys of cards',
      ],
      [
        'vmferry v2v --provider ovas shop.ova --no-convert --pool images --default-network default --yes --detach -o json',
        'start it from a script',
      ],
    ],
    codes: following,
    json: manyImports,
    configured: true,
  },
  discard: {
    when: 'Use it to have the room back that a failed, cancelled, rolled back or rehearsed import holds on its conversion host, before its time is over.',
    examples: [['vmferry discard web', 'drop what its last import copied']],
    codes: asking,
    json: [['the import', 'started']],
    configured: true,
  },
};
