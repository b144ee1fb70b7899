/** What the command line needs of the client, so that tests can put a played move in its place. */
import type {
  Drain,
  DrainRequest,
  MigrateRequest,
  Move,
  MovePlan,
  VmFerry,
} from '../client/vmferry.ts';

export type {
  DrainPlan,
  DrainPlanLine,
  DrainStatus,
  HostLine,
  MoveStatus,
  OpenMove,
  PlaceAnswer,
  PlaceVmResult,
  Story,
  StoryMoment,
  StoryRun,
  StoryWork,
  VersionLine,
  VersionList,
} from '../client/vmferry.ts';

/** One move: what can be asked of it and ordered. */
export type FerryMove = Pick<
  Move,
  'id' | 'status' | 'watch' | 'story' | 'commit' | 'rollback' | 'cancel' | 'retry' | 'tune'
>;

/** The emptying of one host. */
export type FerryDrain = Pick<Drain, 'id' | 'host' | 'status' | 'watch' | 'cancel'>;

export interface Ferry extends Pick<
  VmFerry,
  | 'close'
  | 'hosts'
  | 'hostFacts'
  | 'versions'
  | 'vms'
  | 'locate'
  | 'moves'
  | 'place'
  | 'planDrain'
  | 'undrain'
  | 'serverVersion'
  | 'missingSearchAttributes'
> {
  migrate(request: MigrateRequest): Promise<FerryMove>;
  plan(request: MigrateRequest): Promise<MovePlan>;
  move(idOrVm: string, options?: { runId?: string }): Promise<FerryMove>;
  drain(
    host: string,
    asked?: Partial<DrainRequest>,
  ): Promise<{ drain: FerryDrain; joined: boolean }>;
  drainOf(host: string): FerryDrain;
  /** Optional: `vmferry doctor` says so where the client cannot look. */
  namespaceExists?(): Promise<boolean>;
  /** The server's clock minus this machine's, ms. Optional likewise. */
  clockOffsetMs?(): Promise<number>;
}
