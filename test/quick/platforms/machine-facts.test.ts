import { expect, it } from 'vitest';
import { readCpu, settingOf } from '../../../platforms/libvirt/machine-facts.ts';

const cpuInfo = (more: string): string =>
  `processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel name\t: Xeon\n${more}\n\nprocessor\t: 1\nvendor_id\t: other\n`;

it('reads the first CPU', () => {
  const told =
    'model\t\t: 143\nstepping\t: 8\nmicrocode\t: 0xd0003b9\nflags\t\t: fpu nx pdpe1gb lm';
  expect(readCpu(cpuInfo(told))).toEqual({
    vendor: 'GenuineIntel',
    signature: '6-143-8',
    microcode: '0xd0003b9',
    has64Bit: true,
    hasNx: true,
  });
});

it('does not take a longer flag for a shorter one', () => {
  expect(readCpu(cpuInfo('flags\t\t: fpu lahf_lm nxe'))).toEqual({
    vendor: 'GenuineIntel',
    signature: '',
    microcode: '',
    has64Bit: false,
    hasNx: false,
  });
});

it.each([
  ['of another architecture', 'processor\t: 0\nBogoMIPS\t: 50\nFeatures\t: fp asimd\n'],
  ['that is not there', ''],
  ['without flags', cpuInfo('')],
])('knows nothing of a CPU %s', (_what, text) => {
  expect(readCpu(text)).toBeUndefined();
});

it.each([
  ['lock_manager = "lockd"\n', 'lockd'],
  ['  lock_manager="sanlock" # shared\n', 'sanlock'],
  ['#lock_manager = "lockd"\n', ''],
  ['other_lock_manager = "x"\n', ''],
  ['lock_manager = ""\n', ''],
  ['', ''],
])('reads a setting of %j', (conf, value) => {
  expect(settingOf(conf, 'lock_manager')).toBe(value);
});
