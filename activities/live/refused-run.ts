/** Why a live run is not begun, or not concluded yet, each in the words that reach people. */
import { permanent, transient, unsafe } from '../../domain/errors.ts';
import type { Fault } from '../../domain/errors.ts';
import { LivePlace } from '../../domain/live-outcome.ts';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { MoveLiveInput, MoveLiveResult } from '../contract.ts';

/** What speaks against beginning; undefined if nothing does. */
export function whyNotBegun(host: string, input: MoveLiveInput, view: LiveView): Fault | undefined {
  const { vm, disks } = input;
  if (view.place !== LivePlace.running && view.place !== LivePlace.paused) {
    return permanent({
      code: 'live-vm-not-running',
      message: `${vm.name} does not run on ${host} (${view.place}): there is nothing to move live`,
      remedy: 'Move it cold, or start it first.',
      host,
    }).toFault();
  }
  const kept = disks.find(({ liesOn }) => liesOn !== undefined);
  if (kept === undefined) return undefined;
  return permanent({
    code: 'live-chain-not-kept',
    message: `${kept.name} of ${vm.name} lies on ${kept.liesOn}: a live move makes one image of a chain`,
    remedy: 'Leave out --chain keep, or move the VM cold.',
    host,
  }).toFault();
}

/** The result of a run that libvirt was never asked for. */
export const notBegun = (fault: Fault): MoveLiveResult => ({
  fault,
  steps: [],
  elapsedMs: 0,
  postCopy: false,
});

export const runOver = (host: string, { vm, run }: MoveLiveInput, last: number) =>
  unsafe({
    code: 'live-run-over',
    message: `run ${run} of the live move of ${vm.name} away from ${host} is over: run ${last} was begun after it`,
    remedy: 'Nothing was changed: it was the late work of an attempt that is over.',
    host,
  });

export const otherJob = (host: string, { vm }: MoveLiveInput) =>
  transient({
    code: 'live-other-job',
    message: `libvirt on ${host} has another job on ${vm.name}, so that no live migration can begin`,
    remedy: `It is tried again. See on ${host}: virsh domjobinfo ${vm.name}.`,
    host,
  });

export const stillLeaving = (host: string, { vm }: MoveLiveInput) =>
  transient({
    code: 'live-still-leaving',
    message: `the live migration of ${vm.name} away from ${host} was over, and libvirt's job of it is not`,
    remedy: `It is looked at again. If it stays so, see on ${host}: virsh domjobinfo ${vm.name}.`,
    host,
  });
