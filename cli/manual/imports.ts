/** The manual of the commands about other platforms. */
import type { Manual } from './manual.ts';
import { asking, following } from './manual.ts';

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
  v2v: {
    when: 'Use it to bring VMs from VMware, from a KVM host outside the fleet or from OVA files. It shows what they will use of CPUs, memory, storage and addresses against what the target has, and begins after a yes; a script says --yes. Whatever speaks against one of them refuses all, before anything is touched. A source that runs is shut down first, unless --running says otherwise. Failed imports keep what they copied for a day: `vmferry retry` does not copy it again. Ctrl-C leaves the view, not the imports. docs/v2v.md has the whole of it.',
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
        'vmferry v2v --provider ovas shop.ova --no-convert --pool images --default-network default --yes --detach -o json',
        'start it from a script',
      ],
    ],
    codes: following,
    json: [
      ['how they rest or ended', 'v2v'],
      ['with --detach, without reports', 'v2v'],
      ['with --dry-run, or refused', 'v2v-plan'],
    ],
    configured: true,
  },
  discard: {
    when: 'Use it to have the room back that a failed, cancelled or rolled back import holds on its conversion host, before its time is over.',
    examples: [['vmferry discard web', 'drop what its last import copied']],
    codes: asking,
    json: [['the import', 'started']],
    configured: true,
  },
};
