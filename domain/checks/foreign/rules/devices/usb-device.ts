import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { fixedOf } from './kinds.ts';

export const usbDevice: ForeignRule<VmView, 'usb-device'> = {
  modes: everyMode,
  outcomes: {
    'usb-device': {
      level: 'warning',
      meaning: 'A USB device of the host is handed to the VM; it does not come along.',
      remedy:
        'Plug it into the target and attach it there (virsh attach-device), or reach it over the network.',
    },
  },
  judge: ({ vm }) =>
    fixedOf(vm.fixedDevices, 'usb').map((device) => ({
      code: 'usb-device',
      message: `${vm.name} has a USB device of its host: ${device}`,
    })),
};
