/** What `vmferry doctor` asks the Temporal server itself. */
import { controlQueue, searchAttributes, workflowTypes } from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { isNotFound } from './errors.ts';

export const serverVersion = ({ connection }: Access): Promise<string> =>
  connection.workflowService.getSystemInfo({}).then((info) => info.serverVersion);

/** Whether the configured namespace exists. */
export async function namespaceExists({ client, connection }: Access): Promise<boolean> {
  try {
    const { namespace } = client.options;
    await connection.workflowService.describeNamespace({ namespace });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** The server's clock minus this machine's, ms, as exact as the answer was quick. */
export async function clockOffsetMs(access: Access): Promise<number> {
  const sentMs = Date.now();
  const handle = await access.client.workflow.start(workflowTypes.listVms, {
    workflowId: access.readId('clock'),
    taskQueue: controlQueue,
    args: [{ hosts: [] }],
    workflowExecutionTimeout: '60s',
  });
  const halfwayMs = (sentMs + Date.now()) / 2;
  return Math.round((await handle.describe()).startTime.getTime() - halfwayMs);
}

/** Search attributes that moves need and the namespace lacks. */
export async function missingSearchAttributes({ client, connection }: Access): Promise<string[]> {
  const { namespace } = client.options;
  const answer = await connection.operatorService.listSearchAttributes({ namespace });
  const present = Object.keys(answer.customAttributes);
  return Object.values(searchAttributes).filter((name) => !present.includes(name));
}
