/** The program of libvirt's QEMU driver (src/remote/qemu_protocol.x, program 0x20008087, version 1). */
import { flags, string } from '../codec.ts';
import { domain } from '../types.ts';
import { ProtocolError } from '../xdr.ts';
import { call } from './call.ts';

/** QEMU_PROC_DOMAIN_MONITOR_COMMAND: an order of QMP as JSON, and QEMU's answer. */
export const qemuMonitorCall = call(1, { dom: domain, cmd: string, flags }, { result: string });

/** QEMU's answer to an order; throws `ProtocolError` for what is none. */
export function qemuAnswer(json: string): { error?: { class: string; desc: string } } {
  let answer: unknown;
  try {
    answer = JSON.parse(json);
  } catch (cause) {
    throw new ProtocolError("QEMU's answer is no JSON", { cause });
  }
  if (typeof answer !== 'object' || answer === null || !('return' in answer || 'error' in answer))
    throw new ProtocolError("QEMU's answer has neither `return` nor `error`");
  const { error } = answer as { error?: { class?: unknown; desc?: unknown } };
  if (error === undefined) return {};
  return { error: { class: String(error.class), desc: String(error.desc) } };
}
