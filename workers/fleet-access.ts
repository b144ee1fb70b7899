import { Client, WorkflowNotFoundError } from '@temporalio/client';
import type { FleetAccess } from '../activities/control/fleet.ts';
import { HostDirectory } from '../client/hosts.ts';
import type { SlotAnswer, SlotRelease, SlotWish } from '../domain/hosts/slots.ts';
import type { HostOrder } from '../domain/hosts/settings.ts';
import type { HostState, SlotHolder } from '../domain/hosts/state.ts';
import type { TemporalAccess } from './process.ts';

/** A move that was given a place and never began; it takes a client seconds to begin it. */
const neverBegunMs = 15 * 60_000;

/** The hosts of one cluster, through Temporal. */
export class TemporalFleet implements FleetAccess {
  readonly #client: Client;
  readonly #directory: HostDirectory;

  constructor({ connection, namespace, dataConverter }: TemporalAccess, cluster: string) {
    this.#client = new Client({ connection, namespace, dataConverter });
    this.#directory = new HostDirectory(this.#client, cluster);
  }

  hosts = (): Promise<{ name: string; state?: HostState }[]> => this.#directory.entities.list();
  state = async (host: string): Promise<HostState | undefined> =>
    (await this.#directory.remembered(host)).state;
  online = (host: string): Promise<boolean> => this.#directory.online(host);
  set = (host: string, order: HostOrder): Promise<HostState> => this.#directory.set(host, order);
  reserve = (host: string, wish: SlotWish): Promise<SlotAnswer> =>
    this.#directory.reserve(host, wish);

  async release(host: string, release: SlotRelease): Promise<void> {
    try {
      await this.#directory.entities.release(host, release);
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  async isOver({ workflowId, runId, since }: SlotHolder): Promise<boolean> {
    const isOld = Date.now() - Date.parse(since) > neverBegunMs;
    try {
      const { status, closeTime, raw } = await this.#client.workflow
        .getHandle(workflowId)
        .describe();
      // Only one run of an ID can be open: where the newest belongs to another move, this one is over.
      const first = raw.workflowExecutionInfo?.firstRunId ?? '';
      if (runId !== undefined && first !== '' && first !== runId) return true;
      if (status.name === 'RUNNING') return false;
      // One that had ended before the place was given is an earlier move of the same VM.
      const isEarlier = runId === undefined && (closeTime?.getTime() ?? 0) < Date.parse(since);
      return isEarlier ? isOld : true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return isOld;
      throw error;
    }
  }
}
