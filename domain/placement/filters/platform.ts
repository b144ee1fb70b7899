import type { FixedFilter } from './filter.ts';

/** The emulator has to offer the VM's machine; a VM that names none needs the architecture alone. */
export const machine: FixedFilter = {
  name: 'machine',
  passes: (host, question) =>
    question.machine === ''
      ? host.arch === question.vm.arch
      : host.machines.includes(question.machine),
  reason: (host, question) =>
    question.machine === ''
      ? `${host.name} is ${host.arch}, ${question.vm.name} is ${question.vm.arch}`
      : `${host.name} has no emulator for ${question.machine}`,
};

/** A first look by name; libvirt itself compares the CPUs when the move is checked. */
export const cpuModel: FixedFilter = {
  name: 'cpu-model',
  passes: (host, { vm }) =>
    vm.cpuModel === undefined || (host.cpuModels?.includes(vm.cpuModel) ?? true),
  reason: (host, { vm }) => `${host.name} cannot offer the CPU model ${vm.cpuModel ?? ''}`,
};

/** Lets a host through that does not say which firmware it has: the move's checks look again. */
export const firmware: FixedFilter = {
  name: 'firmware',
  passes: (host, { vm }) =>
    vm.firmware === undefined || (host.firmwares?.includes(vm.firmware) ?? true),
  reason: (host, { vm }) => `${host.name} has no firmware of the kind ${vm.firmware ?? ''}`,
};
