/** Tasks of vSphere: begun by a call, over some time later. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { outcomeUnknown } from '../../domain/errors.ts';
import {
  childOf,
  childrenOf,
  SoapError,
  SoapErrorKind,
  textOf,
  typeOf,
} from '../../protocols/soap/index.ts';
import type { XmlNode } from '../../protocols/soap/index.ts';
import { propertiesOf } from './properties.ts';
import { referenceAt } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';

export interface TaskOptions {
  /** What it does, as a clause: `power off web (vm-42)`. */
  what: string;
  /** Faults that mean that it is well as it is; the task's result is then undefined. */
  fine?: readonly string[];
  limitMs?: number;
  signal?: AbortSignal | undefined;
}

/** Removing a large snapshot takes longest. */
const defaultLimitMs = 3_600_000;
const firstPauseMs = 50;
const longestPauseMs = 2_000;

/**
 * Begins a task and waits for its end; resolves with its result, if it has one. Rejects with VmFerryError, as `faults.ts`
 * has it; `vsphere-outcome-unknown` if its end was not seen in time.
 */
export async function runTask(
  session: VsphereSession,
  on: ManagedRef,
  call: { method: string; parameters?: readonly XmlNode[] },
  options: TaskOptions,
): Promise<XmlElement | undefined> {
  const { what, signal, fine = [] } = options;
  try {
    const response = await session.callPlainly(call.method, on, call.parameters ?? [], { signal });
    const task = referenceAt(response, 'returnval');
    return task === undefined ? undefined : await endOf(session, task, options);
  } catch (error) {
    if (error instanceof SoapError && fine.includes(error.fault?.type ?? '')) return undefined;
    throw session.fault(error, call.method, { what, mutation: true });
  }
}

async function endOf(
  session: VsphereSession,
  task: ManagedRef,
  { what, signal, limitMs = defaultLimitMs }: TaskOptions,
): Promise<XmlElement | undefined> {
  const end = performance.now() + limitMs;
  let pauseMs = firstPauseMs;
  for (;;) {
    const found = await propertiesOf(session, task, ['info'], {
      what: `wait for: ${what}`,
      signal,
    });
    const info = found.get('info');
    const state = textOf(info, 'state');
    if (state === 'success') return childOf(info, 'result');
    if (state === 'error') throw toldError('the task failed', what, childOf(info, 'error'));
    if (performance.now() > end) {
      throw outcomeUnknown({
        code: 'vsphere-outcome-unknown',
        message: `could not ${what}: the task ${task.id} was not done after ${limitMs / 1000} s`,
        remedy:
          'Look at the task in vSphere; what came of it is read back before it is tried again.',
        host: session.host,
      });
    }
    await delay(pauseMs, undefined, { signal });
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
}

/** As if the call had failed that way: a fault means the same in a task. */
export function toldError(failed: string, what: string, error: XmlElement | undefined): SoapError {
  const [detail] = childrenOf(error, 'fault');
  const fault = {
    type: typeOf(detail),
    text: textOf(error, 'localizedMessage').slice(0, 500),
    detail,
  };
  const words = [fault.type, fault.text].filter(Boolean).join(': ');
  return new SoapError(SoapErrorKind.fault, `${failed}: ${words || what}`, { fault });
}
