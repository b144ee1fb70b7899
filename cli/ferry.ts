/** What the command line needs of the client, so that tests can put a played move in its place. */
import type {
  Drain,
  DrainRequest,
  Import,
  MigrateRequest,
  Move,
  MovePlan,
  V2vForecast,
  V2vRequest,
  V2vStart,
  VmFerry,
} from '../client/vmferry.ts';

export type {
  ConversionChange,
  ConversionHostLine,
  ConversionHostRemoved,
  ImportOnHost,
  DrainPlan,
  DrainPlanLine,
  DrainStatus,
  ForeignLook,
  HostLine,
  ImportStory,
  MoveStatus,
  OpenMove,
  PlaceAnswer,
  PlaceVmResult,
  ProviderList,
  ProviderState,
  Story,
  StoryMoment,
  StoryRun,
  StoryWork,
  Told,
  V2vForecast,
  V2vForecastLine,
  V2vRequest,
  VersionLine,
  VersionList,
} from '../client/vmferry.ts';

/** One move: what can be asked of it and ordered. */
export type FerryMove = Pick<
  Move,
  'id' | 'status' | 'watch' | 'story' | 'commit' | 'rollback' | 'cancel' | 'retry' | 'tune'
>;

/** One import: the same. */
export type FerryImport = Pick<
  Import,
  | 'kind'
  | 'id'
  | 'status'
  | 'watch'
  | 'story'
  | 'commit'
  | 'rollback'
  | 'cancel'
  | 'retry'
  | 'discard'
  | 'tune'
>;

/** What an ID or the name of a VM can mean. */
export type FerryWork = FerryMove | FerryImport;

export const isImport = (work: FerryWork): work is FerryImport => 'kind' in work;

/** An import that was begun, or why it could not. */
export interface FerryV2vStart extends Omit<V2vStart, 'import'> {
  import?: FerryImport;
}

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
  | 'providers'
  | 'conversionHosts'
  | 'conversionHost'
  | 'setConversionHost'
  | 'importsOn'
  | 'removeConversionHost'
  | 'conversionUsage'
  | 'foreignVms'
  | 'inspectForeign'
  | 'forecastV2v'
  | 'undrain'
  | 'serverVersion'
  | 'missingSearchAttributes'
> {
  migrate(request: MigrateRequest): Promise<FerryMove>;
  plan(request: MigrateRequest): Promise<MovePlan>;
  move(idOrVm: string, options?: { runId?: string }): Promise<FerryMove>;
  work(idOrVm: string, options?: { runId?: string }): Promise<FerryWork>;
  v2v(asked: readonly V2vRequest[] | V2vForecast): Promise<FerryV2vStart[]>;
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
