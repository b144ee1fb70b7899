import {
  condition,
  continueAsNew,
  defineSignal,
  setHandler,
  setWorkflowOptions,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';
import type { HostAnnouncement, HostInput } from './contract.ts';
import { signalNames } from './contract.ts';

const announceSignal = defineSignal<[HostAnnouncement]>(signalNames.announce);

/** A host as an entity: it exists since its worker first came up, and remembers what that said of itself. */
export async function host(input: HostInput & { announcement?: HostAnnouncement }): Promise<never> {
  let announcement = input.announcement;
  let signals = 0;
  setHandler(announceSignal, (said) => {
    announcement = said;
    signals += 1;
    upsertMemo({ announcement: said });
  });
  if (announcement !== undefined) upsertMemo({ announcement });
  await condition(() => signals >= 500 || workflowInfo().continueAsNewSuggested);
  return continueAsNew<typeof host>({
    ...input,
    ...(announcement === undefined ? {} : { announcement }),
  });
}

// It outlives every version, and every version can go on with it: its state is what its memo says.
setWorkflowOptions({ versioningBehavior: 'AUTO_UPGRADE' }, host);
