/** Foreign VMs come in: what an import would do, its beginning, and imports found again. */
import { randomUUID } from 'node:crypto';
import type { Concern } from '../domain/concerns.ts';
import { batchConcerns } from '../domain/checks/foreign/concerns.ts';
import { Handling, permanent, VmFerryError } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import type { ForeignVm } from '../domain/foreign.ts';
import type { HostFacts } from '../domain/host.ts';
import type { ImportForecast, ImportPlan, ImportRequest } from '../domain/import.ts';
import { cacheNeed } from '../domain/import/capacity.ts';
import { chosenConversionHost } from '../domain/import/conversion-host.ts';
import type { ConversionCandidate } from '../domain/import/conversion-host.ts';
import { maxBatch } from '../domain/import/limits.ts';
import { expectedUse } from '../domain/import/use.ts';
import type { UseLine, UseTarget } from '../domain/import/use.ts';
import { controlQueue, importForecastId, importId, workflowTypes } from '../workflows/contract.ts';
import type { ImportVmInput, InspectForeignResult } from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { toVmFerryError } from './errors.ts';
import type { Fleet } from './fleet.ts';
import { Import } from './import.ts';
import { importRequestOf } from './import-request.ts';
import type { V2vRequest } from './import-request.ts';
import { hostFor, someAtATime } from './providers.ts';
import type { Providers } from './providers.ts';

/** What one import of a request would do. */
export interface V2vForecastLine {
  vm: ForeignVm;
  /** Made whole: what is begun. */
  request: ImportRequest;
  /** Absent where a concern forbids it. */
  plan?: ImportPlan;
  concerns: Concern[];
}

/** What a request would do, found out without touching anything. */
export interface V2vForecast {
  imports: V2vForecastLine[];
  /** Expected use of each target against what it has. */
  use: UseLine[];
  /** Against all of them together. */
  concerns: Concern[];
}

/** What became of one import of a request. */
export interface V2vStart {
  id: string;
  vm: { id: string; name: string };
  /** Absent where it could not begin; `fault` says why. */
  import?: Import;
  fault?: Fault;
}

/** Both hosts' checks, each as patient as in an import. */
const forecastLimit = '10m';
/** Looks at a provider at a time: each is a log-in there. */
const looksAtATime = 4;

export class Imports {
  readonly #access: Access;
  readonly #fleet: Fleet;
  readonly #providers: Providers;

  constructor(access: Access, { fleet, providers }: { fleet: Fleet; providers: Providers }) {
    this.#access = access;
    this.#fleet = fleet;
    this.#providers = providers;
  }

  /** By its workflow ID, whether it exists or not. */
  of(id: string, runId?: string): Import {
    return new Import(this.#access, id, runId);
  }

  async forecast(asked: readonly V2vRequest[]): Promise<V2vForecast> {
    const [first] = asked;
    assertFits(asked);
    return this.#access.attempt(`plan the import of ${first?.vm ?? ''}`, () => this.#judge(asked));
  }

  /**
   * Begins each; one that cannot, or that its checks forbid, does not keep the others from it. Throws the first of what
   * forbids all of them together.
   */
  async begin({ imports, concerns }: V2vForecast): Promise<V2vStart[]> {
    const critical = criticalOf(concerns);
    if (critical !== undefined) throw new VmFerryError(critical.handling, critical);
    return someAtATime(imports, (line) => this.#start(line), looksAtATime);
  }

  async #start({ vm: { name, uuid }, request, concerns }: V2vForecastLine): Promise<V2vStart> {
    const { cluster, address } = this.#access;
    const vm = { id: request.vm, name };
    const id = importId(cluster, request.provider, vm.id);
    const critical = criticalOf(concerns);
    if (critical !== undefined) return { id, vm, fault: critical };
    try {
      const input = { cluster, vm: { ...vm, uuid }, request };
      return { id, vm, import: await Import.start(this.#access, input, id) };
    } catch (error) {
      const what = `begin the import of ${name}`;
      return { id, vm, fault: toVmFerryError(error, { what, address }).toFault() };
    }
  }

  async #judge(asked: readonly V2vRequest[]): Promise<V2vForecast> {
    const candidates = await this.#providers.candidates();
    const looked = await someAtATime(
      asked,
      async (one) => ({ asked: one, look: await this.#look(one, candidates) }),
      looksAtATime,
    );
    const targets = new Map<string, HostFacts>();
    const wishes: ImportVmInput[] = [];
    const busier = new Busier(candidates);
    for (const { asked: one, look } of looked) {
      const conversionHost = busier.choose(one, look);
      const target = await this.#target(one.to ?? conversionHost.name, targets);
      const { operator } = this.#access;
      const request = importRequestOf(one, { vm: look.vm, conversionHost, target, operator });
      const { id, name } = look.vm;
      wishes.push({ cluster: this.#access.cluster, vm: { id, name }, request });
    }
    const imports = await someAtATime(wishes, (one) => this.#told(one), looksAtATime);
    const uses = await Promise.all([...targets.values()].map((facts) => this.#useOf(facts)));
    const planned = imports.flatMap(({ plan, ...line }) =>
      plan === undefined ? [] : [{ ...line, plan }],
    );
    const conversionHosts = candidates.flatMap(({ facts }) => (facts === undefined ? [] : [facts]));
    return {
      imports,
      use: expectedUse(planned, uses),
      concerns: batchConcerns({ entries: imports, targets: uses, conversionHosts }),
    };
  }

  /** By both hosts, as the import itself will be judged. */
  async #told(input: ImportVmInput): Promise<V2vForecastLine> {
    const { cluster, vm, request } = input;
    const id = importId(cluster, request.provider, vm.id);
    const answer: unknown = await this.#access.client.workflow.execute(
      workflowTypes.forecastImport,
      {
        workflowId: importForecastId(id, randomUUID()),
        taskQueue: controlQueue,
        args: [input],
        workflowExecutionTimeout: forecastLimit,
        staticSummary: `plan the import of ${vm.name}`,
      },
    );
    const { vm: seen, plan, concerns } = answer as ImportForecast;
    return { vm: seen, request, concerns, ...(plan === undefined ? {} : { plan }) };
  }

  #look(
    { provider, vm, on }: V2vRequest,
    candidates: readonly ConversionCandidate[],
  ): Promise<InspectForeignResult> {
    return this.#providers.lookFrom(hostFor(candidates, provider, on), provider, vm);
  }

  async #target(name: string, known: Map<string, HostFacts>): Promise<HostFacts> {
    const told = known.get(name);
    if (told !== undefined) return told;
    await this.#fleet.directory.assertOnline(name);
    const facts = await this.#fleet.hostFacts(name);
    known.set(name, facts);
    return facts;
  }

  /** With what only its standing in the fleet tells. */
  async #useOf(facts: HostFacts): Promise<UseTarget> {
    const { state } = await this.#fleet.directory.remembered(facts.name);
    const running = state?.reading?.runningVcpus;
    const ratio = state?.settings.vcpuRatio;
    return {
      ...facts,
      ...(running === undefined ? {} : { runningVcpus: running }),
      ...(ratio === undefined ? {} : { vcpuRatio: ratio }),
    };
  }
}

/** The conversion hosts as they will be while the imports of one request are given out. */
class Busier {
  readonly #candidates: ConversionCandidate[];

  constructor(candidates: readonly ConversionCandidate[]) {
    this.#candidates = [...candidates];
  }

  /** Its facts as they were told: the checks count what this request adds by themselves. */
  choose({ provider, on, shape = {}, convert = 'yes' }: V2vRequest, look: InspectForeignResult) {
    const { vm } = look;
    const { neededBytes } = cacheNeed(vm, { shape, convert });
    const { system = vm.guestFamily } = shape;
    const wishes = { provider, kind: vm.kind, convert, windows: system === 'windows' };
    const name = on ?? chosenConversionHost(this.#candidates, { ...wishes, neededBytes });
    const at = this.#candidates.findIndex((one) => one.name === name);
    const candidate = this.#candidates[at];
    const facts = candidate?.facts;
    if (candidate === undefined || facts === undefined) throw noFacts(name);
    const promisedBytes = facts.promisedBytes + neededBytes;
    this.#candidates[at] = {
      ...candidate,
      facts: { ...facts, running: facts.running + 1, promisedBytes },
    };
    return facts;
  }
}

/** The first that forbids it, as an error. */
function criticalOf(concerns: readonly Concern[]): Fault | undefined {
  const critical = concerns.find(({ level }) => level === 'critical');
  if (critical === undefined) return undefined;
  const { level: _, ...said } = critical;
  return { ...said, handling: Handling.permanent };
}

function assertFits(asked: readonly V2vRequest[]): void {
  if (asked.length >= 1 && asked.length <= maxBatch) return;
  throw permanent({
    code: 'batch-too-large',
    message: `${asked.length} VMs are asked for at once; 1 to ${maxBatch} can be`,
    remedy: 'Ask for the rest in a second request.',
  });
}

const noFacts = (host: string) =>
  permanent({
    code: 'no-conversion-host',
    message: `${host} is no conversion host: it has no providers, or did not tell of them`,
    remedy: 'Add `host.providers` to its configuration and restart its worker, or leave --on out.',
    host,
  });
