/** The programmatic interface: `import { VmFerry } from 'vmferry'`. */
import { userInfo } from 'node:os';
import { Connection } from '@temporalio/client';
import type { ConnectionOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { resolvePayloadKeys } from '../config/secrets.ts';
import { connectionSettings } from '../config/temporal-connection.ts';
import type { DrainRequest } from '../domain/drain/drain.ts';
import { transient } from '../domain/errors.ts';
import type { ForeignVmSummary } from '../domain/foreign.ts';
import type { HostFacts } from '../domain/host.ts';
import type { ConversionChange } from '../domain/hosts/conversion.ts';
import type { HostChange } from '../domain/hosts/settings.ts';
import type { HostState } from '../domain/hosts/state.ts';
import type { UsageOverTime, UsageSpan } from '../domain/import/usage.ts';
import type { MovePlan, MoveSummary } from '../domain/move.ts';
import type { OrphanOutcome } from '../domain/orphans.ts';
import type { VmFacts, VmSummary } from '../domain/vm.ts';
import type {
  HostLine,
  ListOrphansResult,
  ListVmsResult,
  PlaceVmResult,
} from '../workflows/contract.ts';
import { Access } from './access.ts';
import { untilClosed } from './closable.ts';
import { ConversionHosts } from './conversion-hosts.ts';
import type {
  ConversionHostLine,
  ConversionHostRemoved,
  ImportOnHost,
} from './conversion-hosts.ts';
import * as doctor from './doctor.ts';
import type { Drain, DrainPlan } from './drain.ts';
import { Drains } from './drains.ts';
import { planDrain } from './drain-plan.ts';
import { toVmFerryError } from './errors.ts';
import { findVm } from './find-vm.ts';
import { Fleet } from './fleet.ts';
import type { OrphanAsk } from './fleet.ts';
import type { Import } from './import.ts';
import type { V2vRequest } from './import-request.ts';
import { Imports } from './imports.ts';
import type { V2vForecast, V2vStart } from './imports.ts';
import type { Move } from './move.ts';
import { Moves } from './moves.ts';
import { dataConverter } from './payload-codec.ts';
import type { PlaceRequest } from './place.ts';
import { Providers } from './providers.ts';
import type { ForeignLook, ProviderAsk, ProviderList } from './providers.ts';
import type { MigrateRequest } from './request.ts';
import { listVersions } from './versions.ts';
import type { VersionList } from './versions.ts';

export type {
  ConversionHostLine,
  ConversionHostRemoved,
  ImportOnHost,
} from './conversion-hosts.ts';
export { Drain } from './drain.ts';
export type { DrainPlan, DrainPlanLine, DrainStatus } from './drain.ts';
export { Import } from './import.ts';
export type { V2vRequest } from './import-request.ts';
export type { V2vForecast, V2vForecastLine, V2vStart } from './imports.ts';
export { Move } from './move.ts';
export type { ForeignLook, ProviderList, ProviderState } from './providers.ts';
export type { ForeignVm, ForeignVmSummary } from '../domain/foreign.ts';
export type { ImportReport, ImportRequest, ImportStatus } from '../domain/import.ts';
export type { UseLine } from '../domain/import/use.ts';
export type { PlaceRequest } from './place.ts';
export type { DrainLine, DrainReport, DrainRequest } from '../domain/drain/drain.ts';
export type { MigrateRequest } from './request.ts';
export type {
  HostLine,
  ListOrphansResult,
  ListVmsResult,
  MoveStatus,
  PlaceAnswer,
  PlaceVmResult,
} from '../workflows/contract.ts';
export type { ConversionChange } from '../domain/hosts/conversion.ts';
export type { UsageOverTime, UsageSpan } from '../domain/import/usage.ts';
export type { HostChange } from '../domain/hosts/settings.ts';
export type { HostState } from '../domain/hosts/state.ts';
export type { MovePlan, MoveReport, MoveRequest, MoveSummary } from '../domain/move.ts';
export type { GivenOrder } from '../domain/pipeline.ts';
export type {
  ImportStory,
  Story,
  StoryEnd,
  StoryFailure,
  StoryLeftovers,
  StoryMoment,
  StoryRun,
  StoryWork,
  Told,
} from './story/story.ts';
export type { OpenMove, VersionLine, VersionList } from './versions.ts';
export { defaultLiveWishes } from '../domain/live.ts';
export type { LiveProgress, LiveReport, LiveWishes } from '../domain/live.ts';
export { VmFerryError } from '../domain/errors.ts';

export interface VmFerryOptions {
  /** Temporal's frontend, `host:port`. */
  address: string;
  namespace?: string;
  tls?: ConnectionOptions['tls'];
  apiKey?: string;
  /** The codec of the fleet: payloads are encrypted. */
  dataConverter: DataConverter;
  /** Name of the cluster in move IDs. */
  cluster?: string;
  /** Who acts, for reports; the login name by default. */
  operator?: string;
}

/** A connection to the fleet; thin: everything durable happens in Temporal. */
export class VmFerry {
  readonly #access: Access;
  readonly #closed: AbortController;
  readonly #fleet: Fleet;
  readonly #moves: Moves;
  readonly #drains: Drains;
  readonly #providers: Providers;
  readonly #imports: Imports;
  readonly #conversionHosts: ConversionHosts;

  private constructor(connection: Connection, options: VmFerryOptions, closed: AbortController) {
    this.#closed = closed;
    this.#access = new Access({
      connection,
      namespace: options.namespace ?? 'default',
      dataConverter: options.dataConverter,
      cluster: options.cluster ?? 'default',
      operator: options.operator ?? userInfo().username,
      address: options.address,
    });
    this.#fleet = new Fleet(this.#access);
    this.#moves = new Moves(this.#access, this.#fleet);
    const { client, cluster, operator, address } = this.#access;
    const moveOf = (id: string): Move => this.#moves.of(id);
    this.#drains = new Drains({ client, cluster, moveOf, operator, address });
    this.#providers = new Providers(this.#access, this.#fleet);
    const known = { fleet: this.#fleet, providers: this.#providers };
    this.#imports = new Imports(this.#access, known);
    this.#conversionHosts = new ConversionHosts(this.#access, known);
  }

  /**
   * Connects as the configuration says: a file's path, or by default the one that the command line finds
   * (`$VMFERRY_CONFIG`, `./vmferry.yaml`, `/etc/vmferry/vmferry.yaml`). Throws what a broken configuration or a
   * missing key is refused with, and `temporal-unreachable`.
   */
  static async connect(
    options: { config?: string | Config; operator?: string } = {},
  ): Promise<VmFerry> {
    const { config: given, operator } = options;
    const config =
      typeof given === 'object' ? given : loadConfig(given === undefined ? {} : { path: given });
    return VmFerry.connectWith({
      ...(await connectionSettings(config.temporal)),
      namespace: config.temporal.namespace,
      cluster: config.cluster,
      dataConverter: dataConverter(await resolvePayloadKeys(config.encryption)),
      ...(operator === undefined ? {} : { operator }),
    });
  }

  /** The same from parts. Throws `temporal-unreachable` with the address. */
  static async connectWith(options: VmFerryOptions): Promise<VmFerry> {
    try {
      const closed = new AbortController();
      const connection = await Connection.connect({
        address: options.address,
        interceptors: untilClosed(closed.signal),
        connectTimeout: '5s',
        ...(options.tls === undefined ? {} : { tls: options.tls }),
        ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
      });
      return new VmFerry(connection, options, closed);
    } catch (error) {
      throw toVmFerryError(error, { what: 'connect', address: options.address });
    }
  }

  /** Ends whatever is still being asked, too. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#access.connection.close();
  }

  /** Every host whose worker ever announced itself; with `facts`, what the online ones say of themselves now. */
  async hosts(options: { facts?: boolean } = {}): Promise<HostLine[]> {
    return this.#fleet.hosts(options);
  }

  /** One host: what is remembered of it, and whether its worker answers. Throws `host-unknown`. */
  async host(name: string): Promise<HostLine> {
    return this.#fleet.host(name);
  }

  /**
   * Changes what people set of a host: labels, limits, whether it takes VMs. Limits of bandwidth reach its worker at
   * once, if it is online. Throws `host-unknown` and `host-change-refused`, which says what is wrong.
   */
  async setHost(name: string, change: HostChange): Promise<HostState> {
    return this.#fleet.setHost(name, change);
  }

  /** What a host says of itself now, the proof of its guard included. */
  async hostFacts(host: string): Promise<HostFacts> {
    return this.#fleet.hostFacts(host);
  }

  /** The VMs of the hosts that are online, or of those named. */
  async vms(options: { hosts?: string[] } = {}): Promise<ListVmsResult> {
    return this.#fleet.vms(options);
  }

  /** What moves left on the hosts that are online, or on those named. */
  async orphans(options: { hosts?: string[] } = {}): Promise<ListOrphansResult> {
    return this.#fleet.orphans(options);
  }

  /**
   * Removes one orphan, or takes it out of the list. The host checks everything again: throws `orphan-unknown`,
   * `orphan-in-use`, `orphan-changed`, `orphan-not-ours`, `move-runs`, `policy-denied`.
   */
  async settleOrphan(asked: OrphanAsk): Promise<OrphanOutcome> {
    return this.#fleet.settleOrphan(asked);
  }

  /** One VM by name or UUID. Throws `vm-not-found`, `host-unknown`, `host-offline`. */
  async vm(host: string, vm: string): Promise<VmFacts> {
    return this.#fleet.vm(host, vm);
  }

  /**
   * The VM of that name or UUID wherever it is, on the host that owns it. Throws `vm-not-found`, `vm-ambiguous`,
   * `host-silent`.
   */
  async locate(vm: string): Promise<VmSummary> {
    return this.#access.attempt(`look for ${vm}`, async () => findVm(await this.vms(), vm));
  }

  /**
   * Starts a move and returns at once. Throws `same-host`, `host-unknown`, `host-offline`, `vm-not-found`, and
   * `move-already-running`, which names the first move.
   */
  async migrate(asked: MigrateRequest): Promise<Move> {
    return this.#moves.begin(asked);
  }

  /**
   * What a move would do, found out by both hosts without touching anything. Critical concerns stand in the plan and
   * are no error here. Throws as `migrate` does.
   */
  async plan(asked: MigrateRequest): Promise<MovePlan> {
    return this.#moves.plan(asked);
  }

  /**
   * Which host would take a VM, and why; nothing is reserved. Throws `vm-not-found`, `host-unknown`, `host-offline`.
   */
  async place(asked: PlaceRequest): Promise<PlaceVmResult> {
    return this.#moves.place(asked);
  }

  /**
   * Begins to empty a host, or joins the drain there is (`joined`), which then tries again what failed or was left.
   * Throws `host-unknown`, `host-offline`.
   */
  async drain(
    host: string,
    asked: Partial<DrainRequest> = {},
  ): Promise<{ drain: Drain; joined: boolean }> {
    return this.#access.attempt(`drain ${host}`, async () => {
      await this.#fleet.directory.assertOnline(host);
      return this.#drains.begin(host, asked);
    });
  }

  /** The latest drain of a host, running or over; it may not exist, which its `status` says. */
  drainOf(host: string): Drain {
    return this.#drains.of(host);
  }

  /** What a drain would do now, by the checks of both hosts of each move. Touches nothing. */
  async planDrain(host: string, asked: Partial<DrainRequest> = {}): Promise<DrainPlan> {
    return this.#access.attempt(`plan the drain of ${host}`, async () => {
      const { vms, unreachable } = await this.vms({ hosts: [host] });
      const [silent] = unreachable;
      if (silent !== undefined) {
        throw transient({
          code: 'host-silent',
          message: `${host} did not list its VMs: ${silent.reason}`,
          remedy: `Look at its worker's log on ${host}, and try again.`,
          host,
        });
      }
      return planDrain(this.#moves, { host, vms, request: this.#drains.request(asked) });
    });
  }

  /** VMs may come to the host again; a drain that runs is cancelled. Throws `host-unknown`. */
  async undrain(host: string): Promise<{ host: string; cancelled: boolean }> {
    return this.#access.attempt(`undrain ${host}`, async () => {
      const cancelled = await this.#drains.cancel(host);
      await this.setHost(host, { draining: false });
      return { host, cancelled };
    });
  }

  /**
   * A move by its workflow ID, or the latest of a VM by name or UUID; with `runId` an earlier one of the same VM.
   * Throws `move-not-found`, `move-ambiguous`.
   */
  async move(idOrVm: string, options: { runId?: string } = {}): Promise<Move> {
    return this.#moves.find(idOrVm, options);
  }

  /** The hosts that bring VMs from elsewhere: those whose configuration names providers, and those that people added. */
  async conversionHosts(): Promise<ConversionHostLine[]> {
    return this.#conversionHosts.list();
  }

  /** One of them, or a host that could become one. Throws `host-unknown`. */
  async conversionHost(name: string): Promise<ConversionHostLine> {
    return this.#conversionHosts.one(name);
  }

  /**
   * Gives a host the role, lets it take imports or not, and limits what all of its imports take together; limits reach
   * its worker at once. Throws `host-unknown` and `host-change-refused`.
   */
  async setConversionHost(name: string, change: ConversionChange): Promise<ConversionHostLine> {
    return this.#conversionHosts.set(name, change);
  }

  /** Imports that run on a conversion host. */
  async importsOn(conversionHost: string): Promise<ImportOnHost[]> {
    return this.#conversionHosts.importsOn(conversionHost);
  }

  /** Takes the role from a host, and cancels the imports that run there. Throws `host-unknown`. */
  async removeConversionHost(name: string): Promise<ConversionHostRemoved> {
    return this.#conversionHosts.remove(name);
  }

  /** How full the disks of a conversion host were. Throws `host-unknown`, `host-offline`, `no-conversion-host`. */
  async conversionUsage(name: string, span: UsageSpan): Promise<UsageOverTime> {
    return this.#conversionHosts.usage(name, span);
  }

  /** The foreign platforms that conversion hosts know, and whether each answers. Throws `host-unknown`, `host-offline`. */
  async providers(options: ProviderAsk = {}): Promise<ProviderList> {
    return this.#providers.list(options);
  }

  /** The VMs of a provider, as they come. Throws `provider-unknown`, `no-conversion-host`, and what the platform throws. */
  foreignVms(provider: string, options: { on?: string } = {}): AsyncIterable<ForeignVmSummary> {
    return this.#providers.vms(provider, options);
  }

  /** One VM of a provider by ID, name or UUID. Throws as `foreignVms`, `vm-not-found`, `vm-ambiguous`. */
  async inspectForeign(
    provider: string,
    vm: string,
    options: { on?: string } = {},
  ): Promise<ForeignLook> {
    return this.#providers.inspect(provider, vm, options);
  }

  /**
   * What imports of up to 50 VMs would do: plans, concerns, expected use of the targets. Nothing is touched. Throws as
   * `inspectForeign`, `host-unknown`, `host-offline`, `batch-too-large`.
   */
  async forecastV2v(asked: readonly V2vRequest[]): Promise<V2vForecast> {
    return this.#imports.forecast(asked);
  }

  /**
   * Begins imports, each a workflow of its own, of what is asked or of what was forecast. One that cannot begin does
   * not keep the others from it: it has a fault, as `import-already-running`. Throws as `forecastV2v`, and what
   * speaks against all of them together.
   */
  async v2v(asked: readonly V2vRequest[] | V2vForecast): Promise<V2vStart[]> {
    return this.#imports.begin('imports' in asked ? asked : await this.forecastV2v(asked));
  }

  /** A move or an import, by its workflow ID, or the latest of a VM by its name. Throws as `move`. */
  async work(idOrVm: string, options: { runId?: string } = {}): Promise<Move | Import> {
    const id = await this.#moves.resolve(idOrVm);
    return id.startsWith('import/')
      ? this.#imports.of(id, options.runId)
      : this.#moves.of(id, options.runId);
  }

  /** The latest moves and imports first. */
  async moves(options: { limit?: number } = {}): Promise<MoveSummary[]> {
    return this.#moves.list(options);
  }

  /** Versions of the control worker, and the moves that each has to end. */
  async versions(): Promise<VersionList> {
    return this.#access.attempt('list versions', () => listVersions(this.#access.client));
  }

  /** Version of the Temporal server, for `doctor`. */
  async serverVersion(): Promise<string> {
    return this.#access.attempt('ask Temporal for its version', () =>
      doctor.serverVersion(this.#access),
    );
  }

  /** Whether the configured namespace exists, for `doctor`. */
  async namespaceExists(): Promise<boolean> {
    return this.#access.attempt('look up the namespace', () =>
      doctor.namespaceExists(this.#access),
    );
  }

  /** The server's clock minus this machine's, ms, as exact as the answer was quick; for `doctor`. */
  async clockOffsetMs(): Promise<number> {
    return this.#access.attempt("read the server's clock", () =>
      doctor.clockOffsetMs(this.#access),
    );
  }

  /** Search attributes that moves need and the namespace lacks, for `doctor`. */
  async missingSearchAttributes(): Promise<string[]> {
    return this.#access.attempt('list search attributes', () =>
      doctor.missingSearchAttributes(this.#access),
    );
  }
}
