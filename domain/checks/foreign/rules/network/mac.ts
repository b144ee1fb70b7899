import { hasNewMacs, isUsableMac, repeatedMacs, settledMac } from '../../../../import/macs.ts';
import { modeOfImport } from '../../../../import/mode.ts';
import { broughtCards } from '../../../../import/networks.ts';
import type { Finding } from '../../../rule.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { quoted } from '../../words.ts';

type Code = 'mac-missing' | 'mac-unusable' | 'mac-twice';

/** Speaks of addresses that are to be kept. */
export const mac: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'mac-missing': {
      level: 'warning',
      meaning: 'The source tells no MAC address of a card, which gets a new one.',
      remedy: 'See that no lease, licence or static setting hangs on the old one.',
    },
    'mac-unusable': {
      level: 'critical',
      meaning:
        'A card has a MAC address that libvirt takes for no card’s: of a group, or malformed.',
      remedy:
        'Correct it at the source or give another one with --nics, or let all cards have new ones: --new-macs.',
    },
    'mac-twice': {
      level: 'critical',
      meaning: 'Two cards of the VM have one MAC address.',
      remedy:
        'Correct it at the source or give another one with --nics, or let all cards have new ones: --new-macs.',
    },
  },
  judge: ({ vm, request }) => {
    const { shape } = request;
    const mode = modeOfImport(vm, request);
    const areNew = hasNewMacs(mode, shape);
    const cards = broughtCards(vm, shape).map((nic) => ({
      key: nic.key,
      mac: settledMac(nic, mode, shape),
    }));
    const single = cards.flatMap(({ key, mac: address }): Finding<Code>[] => {
      const card = `card ${quoted(key)} of ${vm.name}`;
      if (address === '')
        return areNew ? [] : [{ code: 'mac-missing', message: `${card} has no MAC address` }];
      if (isUsableMac(address)) return [];
      const message = `${card} has the MAC address ${quoted(address)}, which is none for a card`;
      return [{ code: 'mac-unusable', message }];
    });
    const twice = repeatedMacs(cards.map((card) => card.mac)).map((each): Finding<Code> => ({
      code: 'mac-twice',
      message: `several cards of ${vm.name} have the MAC address ${each}`,
    }));
    return [...single, ...twice];
  },
};
