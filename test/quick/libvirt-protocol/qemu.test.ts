import { expect, it } from 'vitest';
import { qemuAnswer } from '../../../protocols/libvirt/procedures/qemu.ts';

it("tells QEMU's refusal from its consent", () => {
  expect(qemuAnswer('{"return":{},"id":"libvirt-1"}')).toEqual({});
  expect(qemuAnswer('{"error":{"class":"GenericError","desc":"no such node"}}')).toEqual({
    error: { class: 'GenericError', desc: 'no such node' },
  });
});

it.each(['', 'none', 'null', '7', '[]', '{"event":"STOP"}'])('%j is no answer', (json) => {
  expect(() => qemuAnswer(json)).toThrow(/^QEMU's answer/);
});
