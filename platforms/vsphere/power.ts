/** Power verbs: each looks at what came of it, and is safe to run twice. */
import { permanent } from '../../domain/errors.ts';
import { VmState } from '../../domain/vm.ts';
import { isFault } from '../../protocols/soap/index.ts';
import { vmRef } from './inventory.ts';
import { propertiesOf } from './properties.ts';
import type { VsphereSession } from './session.ts';
import { runTask } from './tasks.ts';
import { stateOf } from './vm-state.ts';

/** Rejects with VmFerryError: `vm-not-found`. */
export async function stateOfVm(session: VsphereSession, id: string): Promise<VmState> {
  const what = `read the state of ${id}`;
  const found = await propertiesOf(session, vmRef(id), ['runtime.powerState'], { what });
  return stateOf(found.text('runtime.powerState'));
}

/** Returns once the guest was asked. Rejects with VmFerryError: `shutdown-unsupported`, `vm-not-found`. */
export async function requestShutdown(session: VsphereSession, id: string): Promise<void> {
  const what = `ask the guest of ${id} to shut down`;
  const mutation = true;
  try {
    await session.callPlainly('ShutdownGuest', vmRef(id));
  } catch (error) {
    // It was off already, or went off meanwhile; a suspended one hears nobody.
    if (isFault(error, 'InvalidPowerState')) {
      if ((await stateOfVm(session, id)) === VmState.shutOff) return;
      throw unheard(session, id, 'it is suspended', error);
    }
    if (isFault(error, 'ToolsUnavailable')) {
      throw unheard(session, id, 'VMware Tools do not run in it', error);
    }
    throw session.fault(error, 'ShutdownGuest', { what, mutation });
  }
}

const unheard = (session: VsphereSession, id: string, why: string, cause: unknown): Error =>
  permanent({
    code: 'shutdown-unsupported',
    message: `the guest of ${id} cannot be asked to shut down: ${why}`,
    remedy:
      'Shut it down from the inside, start VMware Tools in it, or allow it to be powered off.',
    host: session.host,
    cause,
  });

/** Resolves once it runs, as it may already. Rejects with what the task failed with, `vm-not-found`. */
export async function powerOn(session: VsphereSession, id: string): Promise<void> {
  if ((await stateOfVm(session, id)) === VmState.running) return;
  const method = 'PowerOnVM_Task';
  const options = { what: `power on ${id}`, fine: ['InvalidPowerState'], limitMs: 300_000 };
  await runTask(session, vmRef(id), { method }, options);
}

/** Resolves once it is off, as it may be already. A suspended VM loses its memory. */
export async function forceOff(session: VsphereSession, id: string): Promise<void> {
  if ((await stateOfVm(session, id)) === VmState.shutOff) return;
  // Between our look and the call it may have gone off by itself.
  await runTask(
    session,
    vmRef(id),
    { method: 'PowerOffVM_Task' },
    {
      what: `power off ${id}`,
      fine: ['InvalidPowerState'],
      limitMs: 300_000,
    },
  );
  if ((await stateOfVm(session, id)) === VmState.shutOff) return;
  throw permanent({
    code: 'vsphere-still-on',
    message: `${id} was powered off, and yet ${session.host} says that it is not off`,
    remedy: 'Look whether somebody, or HA, powered it on again.',
    host: session.host,
  });
}
