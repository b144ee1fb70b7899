import {
  allHandlersFinished,
  condition,
  continueAsNew,
  setWorkflowOptions,
} from '@temporalio/workflow';
import { HostRecord } from './host-record.ts';
import type { RememberedHost } from './host-record.ts';

/**
 * A host as an entity: it exists since its worker first came up, remembers what people set and what the worker says, and
 * promises room to moves. It lives for ever, from run to run.
 */
export async function host(input: RememberedHost): Promise<never> {
  const next = await new HostRecord(input).keep();
  await condition(allHandlersFinished);
  return continueAsNew<typeof host>(next);
}

// It outlives every version, and every version can go on with it: its state is what its memo says.
setWorkflowOptions({ versioningBehavior: 'AUTO_UPGRADE' }, host);
