/** Conversion hosts: hosts in their role of bringing VMs from elsewhere. */
import { conversionHostConcerns } from '../domain/checks/foreign/concerns.ts';
import type { Concern } from '../domain/concerns.ts';
import type { ConversionChange, ConversionState } from '../domain/hosts/conversion.ts';
import type { ConversionHostFacts } from '../domain/import.ts';
import type { UsageOverTime, UsageSpan } from '../domain/import/usage.ts';
import { memoNames, workflowTypes } from '../workflows/contract.ts';
import type { ConversionUsageInput, HostLine } from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { toVmFerryError } from './errors.ts';
import type { Fleet } from './fleet.ts';
import { Import } from './import.ts';
import { someAtATime } from './providers.ts';
import type { Providers } from './providers.ts';

export interface ConversionHostLine {
  name: string;
  online: boolean;
  /** Whether it takes VMs as a host; one that does not takes no imports either. */
  enabled: boolean;
  /** What people set of it as a conversion host, and who did; absent while nobody did. */
  state?: ConversionState;
  /** As it says now; absent of one that is away or whose configuration names no provider. */
  facts?: ConversionHostFacts;
  /** Why there are no facts of one that is online. */
  trouble?: string;
  /** What it lacks, whatever is imported. */
  concerns: Concern[];
}

/** An import that runs on a conversion host. */
export interface ImportOnHost {
  id: string;
}

export interface ConversionHostRemoved {
  host: string;
  /** Imports that were told to end; they undo what they did, and keep what they copied. */
  cancelled: ImportOnHost[];
  /** Those that could not be called off any more, each with the reason. */
  left: (ImportOnHost & { reason: string })[];
}

export class ConversionHosts {
  readonly #access: Access;
  readonly #fleet: Fleet;
  readonly #providers: Providers;

  constructor(access: Access, { fleet, providers }: { fleet: Fleet; providers: Providers }) {
    this.#access = access;
    this.#fleet = fleet;
    this.#providers = providers;
  }

  /** Those whose configuration names providers, and those that people set something of. */
  async list(): Promise<ConversionHostLine[]> {
    return this.#access.attempt('list the conversion hosts', async () => {
      const [hosts, candidates] = await Promise.all([
        this.#fleet.directory.list(),
        this.#providers.candidates(),
      ]);
      const told = new Map(candidates.map((one) => [one.name, one]));
      return hosts
        .map((host) => lineOf(host, told.get(host.name)))
        .filter(({ state, facts, trouble }) => state ?? facts ?? trouble);
    });
  }

  /** Throws `host-unknown`. */
  async one(name: string): Promise<ConversionHostLine> {
    return this.#access.attempt(`look at ${name}`, async () => {
      const host = await this.#fleet.directory.host(name);
      const [told] = host.online ? await this.#providers.candidates(name) : [];
      return lineOf(host, told);
    });
  }

  /** Throws `host-unknown`, `host-change-refused`. */
  async set(name: string, change: ConversionChange): Promise<ConversionHostLine> {
    return this.#access.attempt(`set ${name}`, async () => {
      const { operator } = this.#access;
      const { conversion } = await this.#fleet.directory.setConversion(name, {
        ...change,
        operator,
      });
      const line = await this.one(name);
      // The entity's own word is newer than what lists have.
      return conversion === undefined ? line : { ...line, state: conversion };
    });
  }

  /** Imports that run on it, as Temporal's lists have them, which may be a second old. Needs no worker. */
  async importsOn(name: string): Promise<ImportOnHost[]> {
    return this.#access.attempt(`list the imports on ${name}`, async () => {
      const query = `WorkflowType = '${workflowTypes.importVm}' AND ExecutionStatus = 'Running'`;
      const prefix = `import/${this.#access.cluster}/`;
      const found: ImportOnHost[] = [];
      for await (const { workflowId: id, memo } of this.#access.client.workflow.list({ query })) {
        if (id.startsWith(prefix) && memo?.[memoNames.conversionHost] === name) found.push({ id });
      }
      return found;
    });
  }

  /**
   * Takes the role away, then cancels what runs there: whatever begins meanwhile is refused by the host. Throws
   * `host-unknown`.
   */
  async remove(name: string): Promise<ConversionHostRemoved> {
    await this.set(name, { given: false });
    const imports = await this.importsOn(name);
    const reasons = await someAtATime(imports, ({ id }) => this.#reasonToStay(id));
    return {
      host: name,
      cancelled: imports.filter((_, at) => reasons[at] === undefined),
      left: imports.flatMap(({ id }, at) => {
        const reason = reasons[at];
        return reason === undefined ? [] : [{ id, reason }];
      }),
    };
  }

  /** Cancels an import; why that was refused, if so. */
  async #reasonToStay(id: string): Promise<string | undefined> {
    try {
      await new Import(this.#access, id).cancel();
      return undefined;
    } catch (error) {
      const { address } = this.#access;
      return toVmFerryError(error, { what: `cancel ${id}`, address }).message;
    }
  }

  /** How full its disks were. Throws `host-unknown`, `host-offline`, `no-conversion-host`. */
  async usage(host: string, span: UsageSpan): Promise<UsageOverTime> {
    return this.#access.attempt(`read the use of ${host}`, async () => {
      await this.#fleet.directory.assertOnline(host);
      const input: ConversionUsageInput = { host, span };
      const what = `read how full the disks of ${host} were`;
      return this.#access.read<UsageOverTime>(workflowTypes.conversionUsage, input, what);
    });
  }
}

function lineOf(
  { name, online, state }: HostLine,
  told: { facts?: ConversionHostFacts; trouble?: string } = {},
): ConversionHostLine {
  const { facts, trouble } = told;
  const conversion = state?.conversion;
  return {
    ...{ name, online, enabled: state?.settings.enabled ?? true },
    ...(conversion === undefined ? {} : { state: conversion }),
    ...(facts === undefined ? {} : { facts }),
    ...(trouble === undefined ? {} : { trouble }),
    concerns: facts === undefined ? [] : conversionHostConcerns(facts),
  };
}
